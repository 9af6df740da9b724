"""Limits for streams of events: units taken from the shared limit in blocks, handed out in this process."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Final

from sba_ratelimit.decision import Decision, LimitState
from sba_ratelimit.errors import CostTooLarge
from sba_ratelimit.limit import MICROSECONDS, Limit
from sba_ratelimit.limiter import Limiter
from sba_resilience import Deadline
from sba_telemetry import tally

DENIED_AT_LEAST: Final = 0.1  # seconds not asked after a denial, so that a flood asks ten times a second
DENIED_AT_MOST: Final = 1.0  # then the limiter is asked, which may have heard of a refund or a reset
OUTAGE_HOLD: Final = 1.0  # seconds a block taken without Redis lasts, so that its return is soon noticed
REFUNDS_AT_ONCE: Final = 100
SHORTEST_HOLD: Final = 0.01

_events = tally("sba.ratelimit.events", description="Events by outcome: allowed or denied.")
_blocks = tally("sba.ratelimit.event_blocks", description="Blocks asked for, by outcome.")
_NONE: Final[dict[str, LimitState]] = {}
_allowed_events, _denied_events = (_events.cell({"outcome": name}) for name in ("allowed", "denied"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one event may be handled.

    Attributes:
        allowed: Its cost was taken from every limit; otherwise from none.
        retry_after: Seconds until the same event could pass; 0 when allowed.
        outage: Redis took no part in a refusal: a failure of ours, not a spent quota.
    """

    allowed: bool
    retry_after: float = 0.0
    outage: bool = False


ALLOWED: Final = Verdict(allowed=True)


class _Lease:
    """What this process holds of one limit."""

    __slots__ = (
        "block", "denied_cost", "denied_until", "fresh", "limit", "outage", "refill", "regained", "retry_at",
        "taking", "units", "until",
    )  # fmt: skip

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.units = 0
        self.block = 0
        self.taking: Decision | None = None
        self.fresh = False
        self.until = -math.inf
        self.regained = -math.inf
        self.denied_until = -math.inf
        self.denied_cost = 0
        self.retry_at = -math.inf
        self.outage = False
        self.refill: asyncio.Task[None] | None = None

    def has(self, cost: int, now: float) -> bool:
        return self.units >= cost and (now < self.until or self.fresh)

    def denies(self, cost: int, now: float) -> bool:
        return now < self.denied_until and cost >= self.denied_cost

    def grant(self, units: int, taking: Decision, *, until: float, regained: float) -> None:
        self.units = units if taking.outage != self.outage else self.units + units
        self.block = units
        self.taking = taking
        self.fresh = True
        self.until = until
        self.regained = regained
        self.denied_until = -math.inf
        self.outage = taking.outage

    def ration(self, cost: int, reset_after: float, now: float) -> None:
        """Hand out what was granted, then deny for as long as the limit itself would, or a moment."""
        if self.limit.quota.algorithm == "gcra":
            wait = reset_after - self.limit.unit * (self.limit.capacity - cost) / MICROSECONDS
            self.deny(cost, now=now, wait=wait, outage=False)

    def give_up(self, now: float) -> tuple[Limit, int, Decision] | None:
        """Hold nothing more, and tell what Redis can take back: of the last block, whose units go last."""
        units, self.units, self.fresh = min(self.units, self.block), 0, False
        if not units or self.taking is None or self.outage or now >= self.regained:
            return None
        return (self.limit, units, self.taking) if self.limit.quota.algorithm == "gcra" else None

    def deny(self, cost: int, *, now: float, wait: float, outage: bool) -> None:
        wait = max(wait, DENIED_AT_LEAST)
        self.retry_at = now + wait
        self.denied_until = now + min(wait, DENIED_AT_MOST)
        self.denied_cost = cost
        self.outage = outage


class EventLimiter:
    """Decides on events where a command for each would be too dear, such as messages on a socket.

    Units come from the shared limit in blocks of one call each, and are counted there before they are used:
    all processes together never admit more than the limit gave out. Units are used within `hold_for`
    seconds or not at all, so in any window of `w` seconds at most as many events of one unit pass as the
    limit allows in `w + hold_for`; a block that took longer than that to come is good for one event. What
    was not used is given back, as far as time has not done so; to a sliding window time alone gives it back.
    A denial costs no command until its time has passed.

    Args:
        limiter: Counts the blocks; its outage policies hold here too.
        block: Units of one call: at most one call per so many events, as long as the limit has them.
        hold_for: Seconds a block may be used, at least 0.01.
        nodes: As given to the limiter: a block is never larger than this node's share of a `local` limit.
        size: Limits remembered in this process.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        limiter: Limiter,
        *,
        block: int = 20,
        hold_for: float = 10.0,
        nodes: int = 1,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if block < 1 or nodes < 1 or size < 1 or not SHORTEST_HOLD <= hold_for < math.inf:
            raise ValueError("block, nodes and size must be above 0, and hold_for at least 0.01")
        self._limiter = limiter
        self._block = block
        self._hold_for = hold_for
        self._nodes = nodes
        self._size = size
        self._clock = clock
        self._leases: dict[str, _Lease] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> EventLimiter:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def take_now(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict | None:
        """Decide from what this process holds, or None when the shared limit has to be asked: `take`.

        Args:
            limits: With different names or keys.
            cost: Units of this event.

        Raises:
            ValueError: The cost is below 1.
        """
        if cost < 1:
            raise ValueError("an event costs at least 1")
        now = self._clock()
        found = []
        short = False
        for limit in limits:
            lease = self._leases.get(limit.redis_key)
            if lease is None or (lease.limit is not limit and lease.limit != limit):
                short = True
            elif lease.has(cost, now):
                found.append(lease)
            elif lease.denies(cost, now) and cost <= limit.capacity:
                _denied_events.count += 1
                return Verdict(allowed=False, retry_after=lease.retry_at - now, outage=lease.outage)
            else:
                short = True
        if short:
            return None
        for lease in found:
            lease.units -= cost
            lease.fresh = False
        _allowed_events.count += 1
        return ALLOWED

    async def take(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict:
        """Take the cost of an event from every limit, or from none.

        Args:
            limits: With different names or keys; on a cluster, with keys of one hash slot.
            cost: Units of this event.

        Raises:
            CostTooLarge: No wait would ever admit it.
            ValueError: The cost is below 1, or two limits share a name and key.
        """
        while True:
            verdict = self.take_now(limits, cost=cost)
            if verdict is not None:
                return verdict
            _validate(limits, cost)
            await self._refilled(limits, cost)

    async def aclose(self) -> None:
        """Give back every unit that was not used."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        refills = {lease.refill for lease in self._leases.values() if lease.refill is not None}
        await asyncio.gather(*refills, return_exceptions=True)
        self._give_back(self._leases.values())
        self._leases.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _refilled(self, limits: Sequence[Limit], cost: int) -> None:
        now = self._clock()
        short = [lease for lease in map(self._lease, limits) if not lease.has(cost, now)]
        under_way = next((lease.refill for lease in short if lease.refill is not None), None)
        if under_way is not None:
            await asyncio.wait({under_way})
            return
        refill = self._background(self._refill(short, cost))
        for lease in short:
            lease.refill = refill
        self._make_room(max(self._size, len(limits)))
        await asyncio.shield(refill)

    async def _refill(self, short: Sequence[_Lease], cost: int) -> None:
        try:
            self._give_back(lease for lease in short if self._clock() >= lease.until)
            limits = [lease.limit for lease in short]
            asked = max(cost, min(self._block, *map(self._share, limits)))
            began, scarce = self._clock(), _NONE
            decision = await self._limiter.check(limits, cost=asked)
            if not decision.allowed and not decision.outage and asked > cost:
                scarce = _denying(decision)
                asked = max(cost, min((asked, *(state.remaining for state in scarce.values()))))
                decision = await self._limiter.check(limits, cost=asked)
            if decision.allowed:
                self._grant(short, decision, asked, began)
                self._ration(short, decision, scarce, cost)
            else:
                self._deny(short, decision, cost)
        finally:
            for lease in short:
                lease.refill = None
        self._arm()

    def _grant(self, short: Iterable[_Lease], decision: Decision, units: int, began: float) -> None:
        _blocks.cell({"outcome": "outage" if decision.outage else "granted"}).count += 1
        held = min(self._hold_for, OUTAGE_HOLD) if decision.outage else self._hold_for
        full = {state.limit.redis_key: state.reset_after for state in decision.limits}
        for lease in short:
            lease.grant(
                units,
                decision,
                until=began + held,
                regained=began + full.get(lease.limit.redis_key, 0.0),
            )

    def _ration(
        self, short: Iterable[_Lease], decision: Decision, scarce: Collection[str], cost: int
    ) -> None:
        """Use up what was left of a limit before more of it is asked for."""
        now = self._clock()
        for state in decision.limits:
            for lease in short:
                if lease.limit is state.limit and lease.limit.redis_key in scarce:
                    lease.ration(cost, state.reset_after, now)

    def _deny(self, short: Sequence[_Lease], decision: Decision, cost: int) -> None:
        _blocks.cell({"outcome": "outage" if decision.outage else "denied"}).count += 1
        states = _denying(decision)
        closed = [lease for lease in short if decision.outage and lease.limit.on_outage == "closed"]
        denying = closed or [lease for lease in short if lease.limit.redis_key in states] or short
        now = self._clock()
        for lease in denying:
            state = states.get(lease.limit.redis_key)
            wait = state.retry_after if state else decision.retry_after
            lease.deny(cost, now=now, wait=wait, outage=decision.outage)

    def _share(self, limit: Limit) -> int:
        nodes = self._nodes if limit.on_outage == "local" else 1
        return max(1, limit.capacity // nodes)

    def _lease(self, limit: Limit) -> _Lease:
        lease = self._leases.pop(limit.redis_key, None) or _Lease(limit)
        self._leases[limit.redis_key] = lease
        if lease.limit != limit:
            lease.limit = limit
            lease.denied_until = -math.inf
        return lease

    def _make_room(self, size: int) -> None:
        excess = len(self._leases) - size
        if excess > 0:
            idle = (key for key, lease in self._leases.items() if lease.refill is None)
            self._give_back([self._leases.pop(key) for key in tuple(islice(idle, excess))])

    def _arm(self) -> None:
        if self._timer is None and self._leases:
            self._timer = asyncio.get_running_loop().call_later(self._hold_for, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock()
        ended = [
            lease
            for lease in self._leases.values()
            if lease.refill is None and now >= max(lease.until, lease.denied_until)
        ]
        for lease in ended:
            del self._leases[lease.limit.redis_key]
        self._give_back(ended)
        self._arm()

    def _give_back(self, leases: Iterable[_Lease]) -> None:
        """Refund what time has not given back already."""
        now = self._clock()
        unused = [given for lease in leases if (given := lease.give_up(now)) is not None]
        if unused:
            _ = self._background(self._refund(unused))

    async def _refund(self, unused: Sequence[tuple[Limit, int, Decision]]) -> None:
        for start in range(0, len(unused), REFUNDS_AT_ONCE):
            calls = [
                self._limiter.refund([limit], cost=units, of=taking)
                for limit, units, taking in unused[start : start + REFUNDS_AT_ONCE]
            ]
            await asyncio.gather(*calls)

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run to the end, whatever becomes of the event that was the occasion."""
        with Deadline.detached():
            task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()


def _denying(decision: Decision) -> dict[str, LimitState]:
    """The limits that denied, by where they are stored."""
    return {state.limit.redis_key: state for state in decision.limits if state.retry_after > 0}


def _validate(limits: Sequence[Limit], cost: int) -> None:
    if len({limit.redis_key for limit in limits}) != len(limits):
        raise ValueError("limits checked together need different names or keys")
    for limit in limits:
        if cost > limit.capacity and not limit.shadow:
            raise CostTooLarge(limit.name, cost, limit.capacity)
