"""Plans: looked up when used, never too old, never in the way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from sba_ratelimit import DimensionMissing, Limit, Per, Plan, Plans, Quota

TENANT = Quota(60, per=60, name="tenant")
USER = Quota(10, per=60, name="user")
ROUTE = Quota(5, per=1, name="route")
FREE = Plan("free", {"api": [Per(TENANT), Per(USER, by=("user",)), Per(ROUTE, by=("method", "route"))]})
LARGE = Plan("large", {"api": [Per(Quota(6000, per=60, name="tenant"))]})
WHO = UUID("0190f000-0000-7000-8000-000000000001")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Source:
    """A table of plans that counts and can fail or hang."""

    plans: dict[UUID, Plan] = field(default_factory=dict)
    calls: int = 0
    broken: bool = False
    hangs: asyncio.Event | None = None

    async def __call__(self, tenant: UUID) -> Plan | None:
        self.calls += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.broken:
            raise ConnectionError("away")
        return self.plans.get(tenant)


async def settled(plans: Plans, tenant: UUID) -> None:
    """Let a lookup in the background end."""
    loading = plans._known[tenant].loading
    if loading is not None:
        await asyncio.wait({loading})


def test_a_plan_becomes_limits_that_share_the_tenants_slot() -> None:
    limits = FREE.apply(WHO, "api", {"user": 7, "method": "POST", "route": "/v1/runs"})
    assert limits == [
        Limit(60, per=60, key=("tenant", WHO), name="tenant"),
        Limit(10, per=60, key=("tenant", WHO, "user", 7), name="user"),
        Limit(5, per=1, key=("tenant", WHO, "method", "POST", "route", "/v1/runs"), name="route"),
    ]
    assert FREE.apply(WHO, "elsewhere", {}) == []


def test_a_limit_by_something_a_call_has_not_does_not_apply_but_forgetting_it_is_an_error() -> None:
    limits = FREE.apply(WHO, "api", {"user": None, "method": "GET", "route": "/"})
    assert [limit.name for limit in limits] == ["tenant", "route"]
    with pytest.raises(DimensionMissing) as caught:
        FREE.apply(WHO, "api", {"method": "GET", "route": "/"})
    assert (caught.value.name, caught.value.dimension) == ("user", "user")


async def test_a_tenant_without_a_plan_of_its_own_has_the_default() -> None:
    plans = Plans(Source({WHO: LARGE}), default=FREE)
    assert await plans.plan(WHO) is LARGE
    assert await plans.plan(uuid4()) is FREE
    assert [limit.count for limit in await plans.limits(WHO, "api", user=1)] == [6000]


async def test_one_lookup_serves_everyone_who_asks_meanwhile() -> None:
    source = Source({WHO: LARGE})
    plans = Plans(source, default=FREE)
    assert await asyncio.gather(*(plans.plan(WHO) for _ in range(50))) == [LARGE] * 50
    assert source.calls == 1


async def test_a_change_is_seen_after_the_ttl_and_at_once_when_told() -> None:
    clock, source = Clock(), Source()
    plans = Plans(source, default=FREE, ttl=1.0, clock=clock)
    assert await plans.plan(WHO) is FREE
    source.plans[WHO] = LARGE
    clock.now += 0.4
    assert await plans.plan(WHO) is FREE
    assert source.calls == 1
    clock.now += 0.7
    assert await plans.plan(WHO) is LARGE
    del source.plans[WHO]
    plans.forget(WHO)
    assert await plans.plan(WHO) is FREE


async def test_a_plan_in_use_is_looked_up_before_it_is_too_old() -> None:
    clock, source = Clock(), Source({WHO: LARGE})
    plans = Plans(source, default=FREE, ttl=1.0, clock=clock)
    await plans.plan(WHO)
    source.hangs = asyncio.Event()
    clock.now += 0.6
    assert await plans.plan(WHO) is LARGE
    source.hangs.set()
    await settled(plans, WHO)
    assert source.calls == 2
    clock.now += 0.45
    assert await plans.plan(WHO) is LARGE
    assert source.calls == 2


async def test_while_the_source_fails_the_plan_known_last_holds_and_it_is_not_hammered() -> None:
    clock, source = Clock(), Source({WHO: LARGE})
    plans = Plans(source, default=FREE, ttl=1.0, clock=clock)
    await plans.plan(WHO)
    source.broken = True
    clock.now += 3600
    stranger = uuid4()
    for _ in range(20):
        assert await plans.plan(WHO) is LARGE
        assert await plans.plan(stranger) is FREE
    assert source.calls == 3
    source.broken, source.plans[WHO] = False, FREE
    clock.now += 1.1
    assert await plans.plan(WHO) is FREE


async def test_a_source_that_hangs_is_not_waited_for_for_long() -> None:
    source = Source({WHO: LARGE}, hangs=asyncio.Event())
    plans = Plans(source, default=FREE, patience=0.001)
    assert await plans.plan(WHO) is FREE
    assert source.hangs is not None
    source.hangs.set()
    await settled(plans, WHO)
    assert await plans.plan(WHO) is LARGE
    assert source.calls == 1


async def test_a_caller_that_leaves_does_not_end_the_lookup_of_others() -> None:
    source = Source({WHO: LARGE}, hangs=asyncio.Event())
    plans = Plans(source, default=FREE, patience=60)
    first, second = (asyncio.create_task(plans.plan(WHO)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    assert source.hangs is not None
    source.hangs.set()
    assert await second is LARGE


async def test_the_tenant_unused_for_longest_is_forgotten() -> None:
    source = Source()
    plans = Plans(source, default=FREE, remembered=2)
    one, two, three = uuid4(), uuid4(), uuid4()
    for tenant in (one, two, one, three, one, two):
        await plans.plan(tenant)
    assert source.calls == 4
    assert len(plans._known) == 2


async def test_a_lookup_that_hangs_for_ever_is_given_up_and_another_finds_the_plan() -> None:
    source = Source({WHO: LARGE}, hangs=asyncio.Event())
    clock = Clock()
    plans = Plans(source, default=FREE, patience=0.001, give_up=0.01, clock=clock)
    assert await plans.plan(WHO) is FREE
    await settled(plans, WHO)
    source.hangs = None
    clock.now += 0.4
    assert await plans.plan(WHO) is FREE
    assert source.calls == 1
    clock.now += 0.2
    await plans.plan(WHO)
    await settled(plans, WHO)
    assert await plans.plan(WHO) is LARGE
    assert source.calls == 2


async def test_a_lookup_that_hangs_is_waited_for_once() -> None:
    source = Source({WHO: LARGE}, hangs=asyncio.Event())
    clock = Clock()
    plans = Plans(source, default=FREE, patience=0.05, give_up=3600, clock=clock)
    assert await plans.plan(WHO) is FREE
    clock.now += 0.05
    asked = asyncio.create_task(plans.plan(WHO))
    await asyncio.sleep(0)
    assert asked.done()
    assert await asked is FREE
    source.hangs.set()  # type: ignore[union-attr]  # given above
    await settled(plans, WHO)


async def test_a_source_that_fails_is_spoken_of_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    plans = Plans(Source(broken=True), default=FREE, clock=clock)

    async def lines(tenants: int) -> int:
        caplog.clear()
        for _ in range(tenants):
            await plans.plan(uuid4())
        return sum("plan not found out" in record.getMessage() for record in caplog.records)

    assert await lines(50) == 1
    clock.now += 0.9
    assert await lines(50) == 0
    clock.now += 0.2
    assert await lines(50) == 1
