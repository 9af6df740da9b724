"""The same algorithm in this process, for the time Redis is away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from sba_ratelimit.decision import LimitState
from sba_ratelimit.limit import MICROSECONDS, Limit


class LocalCounters:
    """GCRA for this node's equal share of each limit.

    Args:
        nodes: Processes that share a limit.
        size: Keys remembered; the one unused for longest is forgotten first.
        clock: Monotonic seconds.
    """

    __slots__ = ("_arrivals", "_clock", "_nodes", "_size")

    def __init__(self, *, nodes: int, size: int, clock: Callable[[], float]) -> None:
        self._nodes = nodes
        self._size = size
        self._clock = clock
        self._arrivals: OrderedDict[str, int] = OrderedDict()

    def look(self, limit: Limit, cost: int) -> LimitState:
        """Whether the cost fits, taking nothing."""
        return self._state(limit, cost, self._arrival(limit))

    def take(self, limits: Sequence[Limit], cost: int) -> list[LimitState]:
        """Take the cost from each; `look` said that it fits."""
        return [self._take(limit, cost) for limit in limits]

    def _take(self, limit: Limit, cost: int) -> LimitState:
        unit, capacity = self._share(limit)
        arrival = self._arrival(limit) + unit * min(cost, capacity)
        self._arrivals[limit.redis_key] = arrival
        self._arrivals.move_to_end(limit.redis_key)
        if len(self._arrivals) > self._size:
            self._arrivals.popitem(last=False)
        return self._state(limit, 0, arrival)

    def _share(self, limit: Limit) -> tuple[int, int]:
        return limit.unit * self._nodes, max(1, limit.capacity // self._nodes)

    def _now(self) -> int:
        return int(self._clock() * MICROSECONDS)

    def _arrival(self, limit: Limit) -> int:
        now = self._now()
        return max(now, self._arrivals.get(limit.redis_key, now))

    def _state(self, limit: Limit, cost: int, arrival: int) -> LimitState:
        now = self._now()
        unit, capacity = self._share(limit)
        free = now + unit * capacity - arrival
        wait = unit * min(cost, capacity) - free
        return LimitState(
            limit, free // unit, max(0, arrival - now) / MICROSECONDS, max(0, wait) / MICROSECONDS
        )
