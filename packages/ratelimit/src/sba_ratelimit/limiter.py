"""Check any number of limits in one round trip."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Final

from sba_ratelimit.decision import Decision, LimitState, together
from sba_ratelimit.denied import DeniedKeys
from sba_ratelimit.errors import CostTooLarge
from sba_ratelimit.gcra import LocalCounters
from sba_ratelimit.limit import MICROSECONDS, Limit
from sba_resilience.errors import RedisError, RedisUnavailable
from sba_resilience.redis import RedisClient
from sba_telemetry import counter, get_logger

RETRY_OUTAGE: Final = 1.0  # seconds a caller refused by an outage is asked to wait
_SCRIPTS: Final = files("sba_ratelimit") / "scripts"
_log = get_logger(__name__)
_decisions = counter(
    "sba.ratelimit.decisions", description="Checks by outcome: allowed, denied, denied_locally or outage."
)


class Limiter:
    """Decides on the server's clock; never raises because Redis is away.

    Args:
        redis: The guarded client.
        clock: Monotonic seconds, for what is counted in this process.
        nodes: Processes sharing the limits: each gets an equal part of a `local` limit in an outage.
        remembered: Denied and local keys kept in this process.
        deny_for: Longest time in seconds a denial is answered from memory.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        nodes: int = 1,
        remembered: int = 10_000,
        deny_for: float = 1.0,
    ) -> None:
        self._redis = redis
        self._gcra = redis.script((_SCRIPTS / "gcra.lua").read_text())
        self._refund = redis.script((_SCRIPTS / "refund.lua").read_text())
        self._denied = DeniedKeys(size=remembered, longest=deny_for, clock=clock)
        self._local = LocalCounters(nodes=nodes, size=remembered, clock=clock)

    async def check(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        """Take the cost from every limit, or from none.

        Args:
            limits: With different names or keys; none means allowed.
            cost: Units to take, at least 0.

        Returns:
            The decision; `outage` is set when Redis did not take part in it.

        Raises:
            CostTooLarge: No wait would ever admit it.
            ValueError: Two limits share a name and key, or the cost is negative.
        """
        _validate(limits, cost)
        known = self._denied.find(limits, cost)
        if known is not None:
            return _counted(known, "denied_locally")
        decision = await self._ask(limits, cost, write=True)
        if not decision.allowed and not decision.outage:
            self._denied.remember(decision, cost)
        return decision

    async def peek(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        """What `check` would decide, taking nothing.

        Raises:
            CostTooLarge: No wait would ever admit it.
            ValueError: Two limits share a name and key, or the cost is negative.
        """
        _validate(limits, cost)
        return await self._ask(limits, cost, write=False)

    async def refund(self, limits: Sequence[Limit], *, cost: int = 1) -> bool:
        """Give back what a check took; never more than the limit holds.

        Returns:
            Whether it was given back; False when Redis is away.
        """
        _validate(limits, cost)
        self._denied.forget(limits)
        if not limits:
            return True
        try:
            await self._refund(
                [limit.redis_key for limit in limits], [cost, *(limit.unit for limit in limits)]
            )
        except RedisUnavailable:
            return False
        return True

    async def reset(self, limits: Sequence[Limit]) -> None:
        """Make every limit full again.

        Raises:
            RedisUnavailable: It may not have happened.
        """
        self._denied.forget(limits)
        if limits:
            await self._redis.execute("DEL", *(limit.redis_key for limit in limits))

    async def _ask(self, limits: Sequence[Limit], cost: int, *, write: bool) -> Decision:
        if not limits:
            return Decision(allowed=True, limits=())
        words: list[int] = [int(write), cost]
        for limit in limits:
            words += (limit.unit, limit.capacity)
        try:
            reply = await self._gcra([limit.redis_key for limit in limits], words)
        except RedisError as error:
            if not isinstance(error, RedisUnavailable):
                _log.error("rate limit script refused", error=str(error))
            return _counted(self._without_redis(limits, cost, write=write), "outage")
        decision = together(_states(limits, reply))
        return _counted(decision, "allowed" if decision.allowed else "denied")

    def _without_redis(self, limits: Sequence[Limit], cost: int, *, write: bool) -> Decision:
        if any(limit.on_outage == "closed" for limit in limits):
            return Decision(allowed=False, limits=(), retry_after=RETRY_OUTAGE, outage=True)
        counted = [limit for limit in limits if limit.on_outage == "local"]
        decision = together((self._local.look(limit, cost) for limit in counted), outage=True)
        if decision.allowed and write:
            return together(self._local.take(counted, cost), outage=True)
        return decision


def _states(limits: Sequence[Limit], reply: list[int]) -> list[LimitState]:
    figures = iter(reply[1:])
    return [
        LimitState(limit, remaining, reset / MICROSECONDS, wait / MICROSECONDS)
        for limit, remaining, reset, wait in zip(limits, figures, figures, figures, strict=True)
    ]


def _validate(limits: Sequence[Limit], cost: int) -> None:
    if cost < 0:
        raise ValueError("a cost is at least 0")
    if len({limit.redis_key for limit in limits}) != len(limits):
        raise ValueError("limits checked together need different names or keys")
    for limit in limits:
        if cost > limit.capacity:
            raise CostTooLarge(limit.name, cost, limit.capacity)


def _counted(decision: Decision, outcome: str) -> Decision:
    _decisions.add(1, {"outcome": outcome})
    return decision
