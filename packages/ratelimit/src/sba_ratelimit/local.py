"""The same algorithms in this process, for the time Redis is away."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final

from sba_ratelimit.decision import LimitState
from sba_ratelimit.limit import MICROSECONDS, Limit, Quota

SLICES: Final = 50  # of a window, as on the server


class Bucket:
    """GCRA: the time at which all units would be back.

    Args:
        unit: Microseconds per unit.
        capacity: Units that can be had at once.
    """

    __slots__ = ("_arrival", "_capacity", "_unit")

    def __init__(self, unit: int, capacity: int) -> None:
        self._unit = unit
        self._capacity = capacity
        self._arrival = 0

    def look(self, now: int, cost: int) -> tuple[int, int, int]:
        """Units left, microseconds to full, microseconds until the cost fits."""
        arrival = max(now, self._arrival)
        free = now + self._unit * self._capacity - arrival
        return free // self._unit, arrival - now, max(0, self._unit * cost - free)

    def take(self, now: int, cost: int) -> None:
        """Take units; `look` said that they fit."""
        self._arrival = max(now, self._arrival) + self._unit * cost

    def give(self, cost: int, now: int, taken_at: int | None) -> None:
        """Give units back, less what time has given back since they were taken."""
        passed = 0 if taken_at is None else max(0, now - taken_at)
        self._arrival -= max(0, self._unit * cost - passed)


class Window:
    """Sliding window: units by slice of time, each slice with the time of its last unit, the oldest first.

    Args:
        window: Microseconds.
        capacity: Units that any window may hold.
    """

    __slots__ = ("_capacity", "_slices", "_window")

    def __init__(self, window: int, capacity: int) -> None:
        self._window = window
        self._capacity = capacity
        self._slices: deque[tuple[int, int]] = deque()

    def look(self, now: int, cost: int) -> tuple[int, int, int]:
        """Units left, microseconds to full, microseconds until the cost fits."""
        while self._slices and self._slices[0][0] <= now - self._window:
            self._slices.popleft()
        used = sum(units for _, units in self._slices)
        full = self._slices[-1][0] + self._window - now if self._slices else 0
        return self._capacity - used, full, self._wait(now, used + cost - self._capacity)

    def take(self, now: int, cost: int) -> None:
        """Take units; `look` said that they fit."""
        together = self._slices and self._slice(self._slices[-1][0]) == self._slice(now)
        before = self._slices.pop()[1] if together else 0
        self._slices.append((now, before + cost))

    def give(self, cost: int, now: int, taken_at: int | None) -> None:  # noqa: ARG002 - as of a bucket
        """Give units back: those of the slice they were taken in and of older ones; else the oldest."""
        slices = list(self._slices)
        order = range(len(slices)) if taken_at is None else range(len(slices) - 1, -1, -1)
        for n in order:
            at, units = slices[n]
            if taken_at is None or self._slice(at) <= self._slice(taken_at):
                given = min(cost, units)
                slices[n] = (at, units - given)
                cost -= given
        self._slices = deque((at, units) for at, units in slices if units)

    def _slice(self, at: int) -> int:
        return at * SLICES // self._window

    def _wait(self, now: int, missing: int) -> int:
        if missing <= 0:
            return 0
        given_back = accumulate(units for _, units in self._slices)
        return next(
            at + self._window - now
            for (at, _), units in zip(self._slices, given_back, strict=True)
            if units >= missing
        )


class LocalCounters:
    """This node's equal share of each limit.

    Args:
        nodes: Processes that share a limit.
        size: Keys remembered; the one unused for longest is forgotten first.
        clock: Monotonic seconds.
    """

    __slots__ = ("_clock", "_counters", "_nodes", "_size")

    def __init__(self, *, nodes: int, size: int, clock: Callable[[], float]) -> None:
        self._nodes = nodes
        self._size = size
        self._clock = clock
        self._counters: OrderedDict[str, tuple[Quota, Bucket | Window]] = OrderedDict()

    def look(self, limit: Limit, cost: int) -> LimitState:
        """Whether the cost fits, taking nothing."""
        return self._state(limit, self._known(limit) or self._new(limit), self._share(limit, cost))

    def take(self, limits: Sequence[Limit], cost: int) -> list[LimitState]:
        """Take the cost from each; `look` said that it fits."""
        return [self._take(limit, cost) for limit in limits]

    def refund(self, limits: Sequence[Limit], cost: int, taken_at: int | None) -> None:
        """Give back what an admission took at that time of `now`, if it is known."""
        for limit in limits:
            if (counter := self._known(limit)) is not None:
                counter.give(self._share(limit, cost), self.now(), taken_at)

    def reset(self, limits: Sequence[Limit]) -> None:
        """Make every limit full again."""
        for limit in limits:
            self._counters.pop(limit.redis_key, None)

    def _take(self, limit: Limit, cost: int) -> LimitState:
        counter = self._known(limit) or self._new(limit)
        counter.take(self.now(), self._share(limit, cost))
        self._counters[limit.redis_key] = (limit.quota, counter)
        self._counters.move_to_end(limit.redis_key)
        if len(self._counters) > self._size:
            self._counters.popitem(last=False)
        return self._state(limit, counter, 0)

    def _known(self, limit: Limit) -> Bucket | Window | None:
        quota, counter = self._counters.get(limit.redis_key, (None, None))
        return counter if quota == limit.quota else None

    def _new(self, limit: Limit) -> Bucket | Window:
        capacity = self._share(limit, limit.capacity)
        if limit.quota.algorithm == "gcra":
            return Bucket(limit.unit * self._nodes, capacity)
        return Window(limit.quota.window, capacity)

    def _share(self, limit: Limit, cost: int) -> int:
        """What a cost comes to here: at most the whole share, which is at least one unit."""
        return min(cost, max(1, limit.capacity // self._nodes))

    def now(self) -> int:
        """Microseconds of this process's clock."""
        return int(self._clock() * MICROSECONDS)

    def _state(self, limit: Limit, counter: Bucket | Window, cost: int) -> LimitState:
        remaining, reset, wait = counter.look(self.now(), cost)
        return LimitState(limit, remaining, reset / MICROSECONDS, wait / MICROSECONDS)
