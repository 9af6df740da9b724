"""Check any number of limits in one round trip."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from sba_ratelimit.concurrency import Concurrency, Hold, Places
from sba_ratelimit.decision import Decision, together
from sba_ratelimit.denied import DeniedKeys
from sba_ratelimit.errors import CostTooLarge
from sba_ratelimit.limit import Limit
from sba_ratelimit.local import LocalCounters
from sba_ratelimit.names import FewNames
from sba_ratelimit.outage import RETRY_OUTAGE, Complaint
from sba_ratelimit.shared import MARK, SharedCounters
from sba_resilience.errors import RedisError
from sba_resilience.redis import RedisClient
from sba_telemetry import tally

NAMES_COUNTED: Final = 100  # names of limits with a line of their own in the metrics
_decisions = tally(
    "sba.ratelimit.decisions", description="Checks by outcome: allowed, denied, denied_locally or outage."
)
_allowed, _denied, _denied_locally, _outage = (
    _decisions.cell({"outcome": outcome}) for outcome in ("allowed", "denied", "denied_locally", "outage")
)
_refusals = tally(
    "sba.ratelimit.refusals",
    description="Refusals by Redis, by limit; those of a shadow limit had no effect.",
)
_names = FewNames(NAMES_COUNTED)


class Limiter:
    """Decides on the server's clock; never raises because Redis is away.

    Args:
        redis: The guarded client.
        clock: Monotonic seconds, for what is counted in this process.
        nodes: Processes sharing the limits: each gets an equal part of a `local` limit in an outage.
        remembered: Denied and local keys kept in this process.
        deny_for: Longest time in seconds a denial is answered from memory while a refund or reset by another
            node could go unheard; otherwise it is until the key could be admitted. 0 remembers nothing.
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
        self._shared = SharedCounters(redis)
        self._denied = DeniedKeys(
            size=remembered,
            longest=deny_for,
            clock=clock,
            watch=lambda changed: redis.watch(MARK, changed),
        )
        self._local = LocalCounters(nodes=nodes, size=remembered, clock=clock)
        self._places = Places(redis, nodes=nodes, clock=clock)
        self._complaint = Complaint("rate limit script refused", clock)

    async def check(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        """Take the cost from every limit, or from none.

        Args:
            limits: With different names or keys; none means allowed.
            cost: Units to take, at least 0.

        Returns:
            The decision; `outage` is set when Redis did not take part in it.

        Raises:
            CostTooLarge: No wait would ever admit it.
            SlotsDiffer: The limits cannot be decided together on a cluster.
            ValueError: Two limits share a name and key, or the cost is negative.
        """
        if cost != 1:
            _check_cost(limits, cost)
        known = self._denied.find(limits, cost)
        if known is not None:
            _denied_locally.count += 1
            return known
        asked = self._denied.asked()
        decision = await self._ask(limits, cost, write=True)
        if decision.outage:
            _outage.count += 1
        elif decision.allowed:
            _allowed.count += 1
        else:
            _denied.count += 1
            self._denied.remember(decision, cost, asked)
        if decision.retry_after or decision.shadowed:
            _count_refusals(decision)
        return decision

    async def peek(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        """What `check` would decide, taking nothing.

        Raises:
            CostTooLarge: No wait would ever admit it.
            SlotsDiffer: The limits cannot be decided together on a cluster.
            ValueError: Two limits share a name and key, or the cost is negative.
        """
        _check_cost(limits, cost)
        return await self._ask(limits, cost, write=False)

    async def refund(self, limits: Sequence[Limit], *, cost: int = 1, of: Decision | None = None) -> bool:
        """Give back what a check took; never more than the limit holds. Every node forgets its denials.

        With `of`, what time has given back meanwhile is not given back again: however late the refund, what
        was admitted and not refunded keeps every promise of the limit. Without it you vouch that time has
        given nothing back: each unit for which that is wrong may let one unit more pass.

        Args:
            limits: Those of the check; what a shadow limit refused is left alone with `of`.
            cost: Units, at most those of the check, each given back once.
            of: The decision that took them. One taken in an outage is given back in this process alone.

        Returns:
            Whether Redis gave it back.

        Raises:
            CostTooLarge: No check can have taken it.
            SlotsDiffer: The limits cannot be changed together on a cluster.
            ValueError: Two limits share a name and key, the cost is negative, or `of` took nothing.
        """
        _check_cost(limits, cost)
        _check_apart(limits)
        limits = limits if of is None else _taken(limits, of)
        if not limits:
            return True
        taken_at = None if of is None else of.taken_at
        if of is not None and of.outage:
            self._local.refund(limits, cost, taken_at)
            return False
        try:
            await self._shared.refund(limits, cost, taken_at)
        except RedisError as error:
            self._complaint.about(error)
            if of is None:
                self._local.refund(limits, cost, None)
            return False
        finally:
            self._denied.forget(limits)
        return True

    async def reset(self, limits: Sequence[Limit]) -> None:
        """Make every limit full again; every node forgets that it denied these.

        Raises:
            RedisUnavailable: It may not have happened on the server; in this process it has.
            RedisCommandError: The server refuses to.
            SlotsDiffer: The limits cannot be changed together on a cluster.
        """
        self._local.reset(limits)
        try:
            if limits:
                await self._shared.reset(limits)
        finally:
            self._denied.forget(limits)

    def hold(self, limits: Sequence[Concurrency]) -> Hold:
        """A place under every limit for the time of an `async with` block, or under none.

        Ask `allowed` inside the block: it is entered either way.

        Args:
            limits: With different names or keys; none means allowed.

        Raises:
            ValueError: Two limits share a name and key.
        """
        return self._places.hold(limits)

    async def _ask(self, limits: Sequence[Limit], cost: int, *, write: bool) -> Decision:
        if not limits:
            return Decision(allowed=True, limits=())
        _check_apart(limits)
        try:
            return await self._shared.check(limits, cost, write=write)
        except RedisError as error:
            self._complaint.about(error)
            return self._without_redis(limits, cost, write=write)

    def _without_redis(self, limits: Sequence[Limit], cost: int, *, write: bool) -> Decision:
        enforced = [limit for limit in limits if not limit.shadow]
        if any(limit.on_outage == "closed" for limit in enforced):
            return Decision(allowed=False, limits=(), retry_after=RETRY_OUTAGE, outage=True)
        counted = [limit for limit in enforced if limit.on_outage == "local"]
        decision = together((self._local.look(limit, cost) for limit in counted), outage=True)
        if decision.allowed and write:
            taken_at = self._local.now()
            return together(self._local.take(counted, cost), outage=True, taken_at=taken_at)
        return decision


def _check_cost(limits: Sequence[Limit], cost: int) -> None:
    if cost < 0:
        raise ValueError("a cost is at least 0")
    for limit in limits:
        if cost > limit.capacity and not limit.shadow:
            raise CostTooLarge(limit.name, cost, limit.capacity)


def _taken(limits: Sequence[Limit], of: Decision) -> list[Limit]:
    if limits and of.taken_at is None:
        raise ValueError("that decision took nothing")
    refused = [state.limit for state in of.shadowed]
    return [limit for limit in limits if limit not in refused]


def _check_apart(limits: Sequence[Limit]) -> None:
    if len(limits) > 1 and len({limit.redis_key for limit in limits}) != len(limits):
        raise ValueError("limits decided together need different names or keys")


def _count_refusals(decision: Decision) -> None:
    if decision.outage:
        return
    for state in decision.limits:
        if state.retry_after > 0:
            _refusals.cell({"limit": _names.shown(state.limit.name), "shadow": False}).count += 1
    for state in decision.shadowed:
        _refusals.cell({"limit": _names.shown(state.limit.name), "shadow": True}).count += 1
