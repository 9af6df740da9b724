"""How long an answer keeps, learnt from how often it is read and how often it turns out changed."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import ClassVar, Final

_FLOATS: Final = struct.Struct("<4f")
_DOUBT: Final = 0.25  # changes the prior is worth: a few loads of a key outweigh it
_READS_FORGET: Final = 16.0  # times faster than changes: a question may become popular within minutes
_LONGEST: Final = 1e9  # seconds, reads or changes that may count


@dataclass(frozen=True, slots=True)
class State:
    """What has been seen of one key, of a fixed size however long it is watched.

    What was seen longer ago counts less.

    Attributes:
        watched: Seconds between loads.
        changes: Changes found in that time; an interval with a change counts the expected number of them.
        lately: Seconds between loads, forgotten faster.
        reads: Reads in that shorter time.
    """

    SIZE: ClassVar[int] = _FLOATS.size
    """Bytes `pack` gives."""

    watched: float = 0.0
    changes: float = 0.0
    lately: float = 0.0
    reads: float = 0.0

    def pack(self) -> bytes:
        """The state as `SIZE` bytes."""
        return _FLOATS.pack(self.watched, self.changes, self.lately, self.reads)

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> State:
        """The state that was packed; bytes that hold none give a key that was never seen."""
        if len(packed) != cls.SIZE:
            return cls()
        found = _FLOATS.unpack(packed)
        return cls(*found) if all(0.0 <= part < math.inf for part in found) else cls()


@dataclass(frozen=True, slots=True)
class Adaptive:
    """A time to live for each key, as long as its changes allow and its reads deserve.

    A key that is read `r` times and changes `λ` times a second, kept for `T` seconds, costs a load for
    every `1 + rT` reads, of which about `rλT²/2` are stale. When a stale read costs as much as
    `1 / (2 * staleness)` loads, the cost is least at `T = (sqrt(1 + 4 * staleness * r/λ) - 1) / r`:
    near `1/sqrt(rλ)` for a key that is read often, and never above `2 * staleness / λ`.
    Both rates are estimated from what every reload shows.

    Attributes:
        minimum: Least seconds.
        maximum: Most seconds, whatever was seen: how long the first change of a quiet key may go unnoticed.
        staleness: The share of a key's reads that may be stale if its rates are as they seem; keys read
            often stay far below it.
        initial: Seconds for a key of which nothing is known yet.
        memory: Seconds after which what was seen counts about a third.

    Raises:
        ValueError: The seconds are not above 0 and in order, `staleness` is not above 0 and at most 1, or
            `memory` is not above 0.
    """

    minimum: float = 5.0
    maximum: float = 3600.0
    staleness: float = 0.05
    initial: float = 60.0
    memory: float = 86400.0

    def __post_init__(self) -> None:
        if not 0.0 < self.minimum <= self.initial <= self.maximum < math.inf:
            raise ValueError("minimum, initial and maximum are seconds above 0, in this order")
        if not 0.0 < self.staleness <= 1.0:
            raise ValueError("staleness is a share above 0 and at most 1")
        if not 0.0 < self.memory < math.inf:
            raise ValueError("memory is seconds above 0")

    def first(self) -> tuple[State, float]:
        """For a key of which nothing is known.

        Returns:
            Its state, and seconds to keep its value.
        """
        return State(), self.initial

    def next(self, state: State, *, changed: bool | None, age: float, hits: int) -> tuple[State, float]:
        """After a reload.

        Args:
            state: As it was kept with the previous value.
            changed: Whether the answer differs from the previous one. None when the two cannot tell, as
                after an invalidation: that the value was right until then is not known, and what is
                announced needs no short time to live.
            age: Seconds since the previous load.
            hits: Reads answered from the cache since then.

        Returns:
            The state to keep with the new value, and seconds to keep it, within the bounds.
        """
        seen = state if changed is None else self._seen(state, changed=changed, age=age, hits=hits)
        return seen, self.ttl(seen)

    def ttl(self, state: State) -> float:
        """Seconds to keep a value, within the bounds."""
        reads = (1.0 + state.reads) / (self.initial + state.lately)
        best = (math.sqrt(1.0 + 4.0 * self.staleness * reads / self._change_rate(state)) - 1.0) / reads
        return min(max(best, self.minimum), self.maximum)

    def _seen(self, state: State, *, changed: bool, age: float, hits: int) -> State:
        age, reads = _bounded(age), _bounded(hits) + 1.0
        kept, kept_reads = math.exp(-age / self.memory), math.exp(-age / self.memory * _READS_FORGET)
        changes = _expected_changes(self._change_rate(state) * age) if changed else 0.0
        return State(
            watched=min(kept * state.watched + age, _LONGEST),
            changes=min(kept * state.changes + changes, _LONGEST),
            lately=min(kept_reads * state.lately + age, _LONGEST),
            reads=min(kept_reads * state.reads + reads, _LONGEST),
        )

    def _change_rate(self, state: State) -> float:
        """Changes per second; of an unknown key such that `initial` is its best time to live."""
        prior = _DOUBT * 0.75 * self.initial / self.staleness
        return (_DOUBT + state.changes) / (prior + state.watched)


def _expected_changes(mean: float) -> float:
    """How many Poisson changes there were, given that there was at least one."""
    return mean / -math.expm1(-mean) if mean > 1e-9 else 1.0  # noqa: PLR2004 - where the quotient loses its digits


def _bounded(amount: float) -> float:
    return min(max(amount, 0.0), _LONGEST) if not math.isnan(amount) else 0.0
