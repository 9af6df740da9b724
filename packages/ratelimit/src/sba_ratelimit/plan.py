"""What a tenant has bought, looked up when it is used."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sba_ratelimit.errors import DimensionMissing
from sba_ratelimit.key import KeyPart
from sba_ratelimit.limit import Limit, Quota
from sba_ratelimit.outage import Complaint
from sba_resilience.deadline import Deadline
from sba_telemetry import tally

_loads = tally("sba.ratelimit.plans", description="Plans looked up, by outcome: loaded, or failed.")
_loaded, _failed = (_loads.cell({"outcome": outcome}) for outcome in ("loaded", "failed"))


@dataclass(frozen=True, slots=True)
class Per:
    """A quota for each value of some dimensions within a tenant.

    Attributes:
        quota: How much.
        by: Dimensions that count apart, such as `("user",)` or `("method", "route")`; none counts the tenant
            as a whole.
    """

    quota: Quota
    by: tuple[str, ...] = ()

    def parts(self, dimensions: Mapping[str, KeyPart | None]) -> list[KeyPart] | None:
        """Names and values of its dimensions; None when one is None, and the quota does not apply.

        Raises:
            DimensionMissing: It counts by a dimension that is not among those given.
        """
        parts: list[KeyPart] = []
        for dimension in self.by:
            if dimension not in dimensions:
                raise DimensionMissing(self.quota.name, dimension)
            value = dimensions[dimension]
            if value is None:
                return None
            parts += (dimension, value)
        return parts


@dataclass(frozen=True, slots=True)
class Plan:
    """Limits by what they protect.

    Attributes:
        name: Shown to people.
        limits: For each area, such as `api` or `runs`, the quotas that apply together; an area that is not
            listed is not limited.
    """

    name: str
    limits: Mapping[str, Sequence[Per]]

    def apply(self, tenant: UUID, area: str, dimensions: Mapping[str, KeyPart | None]) -> list[Limit]:
        """The limits of one call; all share the tenant's hash slot.

        Raises:
            DimensionMissing: A quota counts by a dimension that is not among those given.
        """
        limits = []
        for per in self.limits.get(area, ()):
            parts = per.parts(dimensions)
            if parts is not None:
                limits.append(Limit.of(per.quota, "tenant", tenant, *parts))
        return limits


class PlanSource(Protocol):
    """Where plans are kept."""

    def __call__(self, tenant: UUID, /) -> Awaitable[Plan | None]:
        """The tenant's plan; None when it has none of its own. Any error means that it cannot be told now."""


@dataclass(slots=True)
class _Known:
    plan: Plan | None = None
    as_of: float = float("-inf")
    tried: float = float("-inf")
    loading: asyncio.Task[None] | None = None


class Plans:
    """The plan of each tenant, at most `ttl` seconds old.

    One lookup serves everyone who asks meanwhile. A tenant in use is looked up again before its plan is too
    old, so that nobody waits. While the source fails, or takes longer than `patience`, the plan known last
    holds, or the default. A lookup that hangs is ended and another begun; each is waited for once.

    Args:
        source: Where plans are kept.
        default: For tenants without a plan of their own, and those whose plan cannot be told.
        ttl: Seconds after which a change is seen at the latest.
        patience: Seconds after the start of a lookup in which callers wait for it.
        give_up: Seconds after which a lookup is cancelled and counts as failed.
        remembered: Tenants kept; the one unused for longest is forgotten first.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        source: PlanSource,
        *,
        default: Plan,
        ttl: float = 1.0,
        patience: float = 0.25,
        give_up: float = 2.0,
        remembered: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._default = default
        self._ttl = ttl
        self._patience = patience
        self._give_up = give_up
        self._complaint = Complaint("plan not found out", clock)
        self._remembered = remembered
        self._clock = clock
        self._known: OrderedDict[UUID, _Known] = OrderedDict()

    async def limits(self, tenant: UUID, area: str, **dimensions: KeyPart | None) -> list[Limit]:
        """What `Limiter.check` is to ask for one call.

        Args:
            tenant: Whose plan.
            area: Which limits of the plan.
            **dimensions: What the plan may count by, such as `user=`, `method=`, `route=` or `ip=`; None
                means that this call has none, and limits by it do not apply.

        Raises:
            DimensionMissing: The plan counts by a dimension that was not given.
        """
        plan = await self.plan(tenant)
        return plan.apply(tenant, area, dimensions)

    async def plan(self, tenant: UUID) -> Plan:
        """The tenant's plan, or the default."""
        known = self._entry(tenant)
        age = self._clock() - known.as_of
        if age > self._ttl / 2:
            loading = self._load(tenant, known)
            patience = known.tried + self._patience - self._clock()
            if age > self._ttl and loading is not None and patience > 0:
                await asyncio.wait({loading}, timeout=patience)
        return known.plan or self._default

    def forget(self, tenant: UUID) -> None:
        """Look its plan up again at the next check: it has just been changed."""
        self._known.pop(tenant, None)

    def _entry(self, tenant: UUID) -> _Known:
        known = self._known.get(tenant)
        if known is None:
            known = self._known[tenant] = _Known()
            if len(self._known) > self._remembered:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(tenant)
        return known

    def _load(self, tenant: UUID, known: _Known) -> asyncio.Task[None] | None:
        """The lookup under way, or a new one, unless one has failed just now."""
        if known.loading is not None and not known.loading.done():
            return known.loading
        if self._clock() - known.tried <= self._ttl / 2:
            return None
        known.tried = self._clock()
        with Deadline.detached():
            known.loading = asyncio.get_running_loop().create_task(self._look_up(tenant, known))
        return known.loading

    async def _look_up(self, tenant: UUID, known: _Known) -> None:
        started = known.tried
        try:
            async with asyncio.timeout(self._give_up):
                known.plan = await self._source(tenant)
        except Exception as error:  # noqa: BLE001 - whatever the source fails with, limits go on
            known.tried = self._clock()
            _failed.count += 1
            self._complaint.say(type(error).__name__)
            return
        known.as_of = started
        _loaded.count += 1
