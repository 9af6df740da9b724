"""The same algorithms in this process, for the time Redis is away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate

from sba_ratelimit.decision import LimitState
from sba_ratelimit.limit import MICROSECONDS, Limit, Quota


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

    def give(self, cost: int) -> None:
        """Give units back."""
        self._arrival -= self._unit * cost


class Window:
    """Sliding window: every admission with its time, the oldest first.

    Args:
        window: Microseconds.
        capacity: Units that any window may hold.
    """

    __slots__ = ("_capacity", "_taken", "_window")

    def __init__(self, window: int, capacity: int) -> None:
        self._window = window
        self._capacity = capacity
        self._taken: list[tuple[int, int]] = []

    def look(self, now: int, cost: int) -> tuple[int, int, int]:
        """Units left, microseconds to full, microseconds until the cost fits."""
        self._taken = [(at, units) for at, units in self._taken if at > now - self._window]
        used = sum(units for _, units in self._taken)
        full = self._taken[-1][0] + self._window - now if self._taken else 0
        return self._capacity - used, full, self._wait(now, used + cost - self._capacity)

    def take(self, now: int, cost: int) -> None:
        """Take units; `look` said that they fit."""
        self._taken.append((now, cost))

    def give(self, cost: int) -> None:
        """Give back the units taken last."""
        while cost > 0 and self._taken:
            at, units = self._taken.pop()
            if units > cost:
                self._taken.append((at, units - cost))
            cost -= units

    def _wait(self, now: int, missing: int) -> int:
        if missing <= 0:
            return 0
        given_back = accumulate(units for _, units in self._taken)
        return next(
            at + self._window - now
            for (at, _), units in zip(self._taken, given_back, strict=True)
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

    def refund(self, limits: Sequence[Limit], cost: int) -> None:
        """Give back what an admission took."""
        for limit in limits:
            if (counter := self._known(limit)) is not None:
                counter.give(self._share(limit, cost))

    def reset(self, limits: Sequence[Limit]) -> None:
        """Make every limit full again."""
        for limit in limits:
            self._counters.pop(limit.redis_key, None)

    def _take(self, limit: Limit, cost: int) -> LimitState:
        counter = self._known(limit) or self._new(limit)
        counter.take(self._now(), self._share(limit, cost))
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

    def _now(self) -> int:
        return int(self._clock() * MICROSECONDS)

    def _state(self, limit: Limit, counter: Bucket | Window, cost: int) -> LimitState:
        remaining, reset, wait = counter.look(self._now(), cost)
        return LimitState(limit, remaining, reset / MICROSECONDS, wait / MICROSECONDS)
