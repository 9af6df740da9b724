"""Where a canary's phase, counts and decisions are kept, and the store of a single process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

SLOTS = 10
KEPT = 200


class Status(StrEnum):
    """Who gets the candidate."""

    OFF = "off"
    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Phase:
    """What was decided last.

    Attributes:
        status: Nobody, a share, everybody, or nobody again.
        share: Share of tenants while it runs, 0 to 1.
        revision: Grows with every decision; 0 before the first.
        since: When it was decided, in unix seconds.
    """

    status: Status = Status.OFF
    share: float = 0.0
    revision: int = 0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision, for the record.

    Attributes:
        kind: `started`, `resized`, `promoted` or `rolled_back`.
        by: The person, or `canary` when it decided by itself.
        reason: In the person's words, or `errors`, `slower` or `clean`.
        at: Unix seconds.
        share: Share of tenants from then on.
        figures: What the window said.
    """

    kind: str
    by: str
    reason: str
    at: float
    share: float
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Counts of one process since it last sent some.

    Attributes:
        revision: The phase they were counted in; in any other they are dropped.
        slot: Number of the slice of time; the last ten slices are the window.
        counts: Calls, errors and buckets by side.
    """

    revision: int
    slot: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class View:
    """The phase everybody is in, and the counts of everybody over the window."""

    phase: Phase
    counts: Mapping[str, int]


class CanaryStore(Protocol):
    """State all processes share; each method is atomic."""

    async def add(self, name: str, batch: Batch) -> View:
        """Add counts to their slice of the window and see where things stand.

        Raises:
            ResilienceError: The store is away; whether the counts were added is unknown.
        """

    async def decide(self, name: str, phase: Phase, decision: Decision) -> bool:
        """Enter a phase, forget the counts and put the decision on record.

        Returns:
            False, and nothing changed, unless the revision before is one less than the phase's.

        Raises:
            ResilienceError: The store is away; whether it was decided is unknown.
        """

    async def decisions(self, name: str, limit: int = 50) -> Sequence[Decision]:
        """The latest decisions, newest first; 200 are kept.

        Raises:
            ResilienceError: The store is away.
        """


class SlidingCounts:
    """Counts by slice of time, the last ten slices of which are the window."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: dict[int, Counter[str]] = {}

    def add(self, slot: int, counts: Mapping[str, int]) -> None:
        """Add to a slice and forget those that are too old."""
        self._slots.setdefault(slot, Counter()).update(counts)
        for old in [each for each in self._slots if each <= slot - SLOTS]:
            del self._slots[old]

    def total(self) -> Counter[str]:
        """All slices together."""
        return sum(self._slots.values(), Counter[str]())


@dataclass(slots=True)
class _Kept:
    phase: Phase = field(default_factory=Phase)
    counts: SlidingCounts = field(default_factory=SlidingCounts)
    decisions: deque[Decision] = field(default_factory=lambda: deque(maxlen=KEPT))


class MemoryStore:
    """The store of a single process; a restart forgets it, and with it everybody is on stable."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    async def add(self, name: str, batch: Batch) -> View:
        """Add counts to their slice of the window and see where things stand."""
        kept = self._kept.setdefault(name, _Kept())
        if batch.revision == kept.phase.revision:
            kept.counts.add(batch.slot, batch.counts)
        return View(kept.phase, kept.counts.total())

    async def decide(self, name: str, phase: Phase, decision: Decision) -> bool:
        """Enter a phase, forget the counts and put the decision on record."""
        kept = self._kept.setdefault(name, _Kept())
        if kept.phase.revision != phase.revision - 1:
            return False
        kept.phase, kept.counts = phase, SlidingCounts()
        kept.decisions.append(decision)
        return True

    async def decisions(self, name: str, limit: int = 50) -> Sequence[Decision]:
        """The latest decisions, newest first."""
        kept = self._kept.get(name, _Kept())
        return tuple(reversed(kept.decisions))[:limit]
