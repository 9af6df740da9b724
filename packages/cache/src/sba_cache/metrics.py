"""What is counted: reads by namespace and outcome, loads, what was dropped and what lies in the process."""

from __future__ import annotations

from typing import Final

from sba_telemetry import gauge, histogram, tally
from sba_telemetry.metrics import Cell

NAMESPACES: Final = 256
OUTCOMES: Final = ("hit_l1", "hit_l2", "miss", "invalidated", "foreign", "stale", "failsafe", "error")

_requests = tally(
    "sba.cache.requests",
    description="Reads by namespace and outcome: hit_l1, hit_l2, miss, invalidated, foreign bytes, stale and "
    "refreshing, failsafe for a failed load, or error when Redis was away.",
)
_unsaved = tally("sba.cache.unsaved", description="Loaded values that could not be kept, by namespace.")
_failed = tally("sba.cache.refresh_failures", description="Background refreshes that failed, by namespace.")
loads = histogram("sba.cache.load", unit="s", description="Time of a load by namespace.")
evictions = tally("sba.cache.evictions", description="Values dropped from the process to make room.").cell()
waits = tally("sba.cache.lease_waits", description="Times a load by another process was waited for.").cell()
pending = tally("sba.cache.invalidations_retried", description="Invalidations sent again.").cell()
local_bytes = gauge("sba.cache.local.size", unit="By", description="Keys and values kept in the process.")
local_entries = gauge("sba.cache.local.entries", description="Values in the process.")


class Meter:
    """The lines of one namespace; count on them directly.

    Attributes:
        namespace: As it is shown: names beyond the first 256 are counted together as `other`.
    """

    __slots__ = (*OUTCOMES, "namespace", "refresh_failures", "unsaved")
    hit_l1: Cell
    hit_l2: Cell
    stale: Cell
    failsafe: Cell
    error: Cell

    def __init__(self, namespace: str) -> None:
        namespace = namespace.encode("utf-8", "backslashreplace").decode()
        self.namespace = namespace
        for outcome in OUTCOMES:
            setattr(self, outcome, _requests.cell({"namespace": namespace, "outcome": outcome}))
        self.unsaved = _unsaved.cell({"namespace": namespace})
        self.refresh_failures = _failed.cell({"namespace": namespace})

    def count(self, outcome: str) -> None:
        """Count one read by the name of its outcome."""
        getattr(self, outcome).count += 1


_meters: Final[dict[str, Meter]] = {}


def meter_of(namespace: str) -> Meter:
    """The meter of a namespace, the same every time."""
    known = _meters.get(namespace)
    if known is not None:
        return known
    if len(_meters) >= NAMESPACES:
        namespace = "other"
    return _meters.setdefault(namespace, Meter(namespace))
