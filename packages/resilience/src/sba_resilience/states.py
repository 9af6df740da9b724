"""The states of a breaker, and what it looked like at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a breaker does with the next call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Mode(StrEnum):
    """Who decides about a breaker's state: its window of outcomes, or a person."""

    AUTOMATIC = "automatic"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"
    DISABLED = "disabled"


LEVELS = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """A breaker at one moment, for readiness pages and listeners.

    Attributes:
        name: The breaker.
        state: As of the last call.
        mode: Who decides.
        reason: What led to the state: `failures`, `slow`, `probes`, `probes_hang`, `forced`, `reset`,
            `recovered`, or empty when it never changed.
        calls: Outcomes in the window as of the last one.
        failed: How many of them failed.
        slow: How many of them were slow.
        retry_after: Seconds until a probe is let through; 0 unless open.
    """

    name: str
    state: State
    mode: Mode
    reason: str
    calls: int
    failed: int
    slow: int
    retry_after: float
