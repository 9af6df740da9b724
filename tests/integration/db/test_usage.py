"""Usage: exact sums per hour, whoever adds at the same time."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sba_db import DatabaseSettings, InvalidValue, TenantSession, open_database, usage_metrics

NOON = datetime(2026, 11, 5, 12, 30, tzinfo=UTC)
AMOUNTS = st.decimals(min_value=0, max_value=10**6, places=6)


async def add(database, tenant, metrics, **fields) -> None:
    async with database.tenant(tenant.id) as session:
        await usage_metrics.upsert_metrics(session, metrics=metrics, **fields)


async def test_money_adds_up_exactly_under_concurrency(database_urls, a):
    """Each transaction adds in an order of its own: they deadlock, are repeated, and count once."""
    chance = random.Random(3)
    names = ["tokens_input", "tokens_output", "cost_usd"]

    def work(order: list[str]):
        async def each(session: TenantSession) -> None:
            for name in order:
                await usage_metrics.upsert_metrics(session, metrics={name: Decimal("0.000001")})

        return each

    orders = [chance.sample(names, 3) for _ in range(20)]
    patient = DatabaseSettings(url=database_urls.app, max_size=3, pool_timeout=100.0, attempts=20)
    async with open_database(patient) as database, asyncio.timeout(120):
        await asyncio.gather(*(database.run(a.id, work(order)) for order in orders))
        totals = await usage_metrics.total_usage(database.reader(a.id))

    assert totals == dict.fromkeys(names, Decimal("0.000020"))


@settings(max_examples=50)
@given(st.lists(AMOUNTS, min_size=1, max_size=5))
def test_every_amount_of_six_decimals_is_taken_as_it_is(amounts):
    assert [usage_metrics._amount(amount) for amount in amounts] == amounts


@pytest.mark.parametrize("amount", [Decimal("0.0000001"), 0.1, Decimal("1.2345675")])
async def test_an_amount_that_would_have_to_be_rounded_is_refused(database, a, amount):
    with pytest.raises(InvalidValue, match="decimals"):
        await add(database, a, {"cost_usd": amount})


@pytest.mark.parametrize("amount", [10**18, 10**40, Decimal("1E+30"), Decimal("1E+1000000")])
async def test_an_amount_too_large_for_any_counter_is_refused(database, a, amount):
    with pytest.raises(InvalidValue, match="metrics: has an amount of"):
        await add(database, a, {"cost_usd": amount})


async def test_the_largest_amount_is_taken_exactly(database, a):
    most = Decimal("999999999999999999.999999")
    await add(database, a, {"cost_usd": most})

    assert await usage_metrics.total_usage(database.reader(a.id)) == {"cost_usd": most}


async def test_what_is_reported_late_goes_to_the_hour_it_belongs_to(database, a):
    local = NOON.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    for at in (NOON, NOON + timedelta(minutes=29), local):
        await add(database, a, {"tokens_input": 5}, at=at)
    await add(database, a, {"tokens_input": 7}, at=NOON + timedelta(minutes=30))

    usage = await usage_metrics.list_usage(database.reader(a.id))
    assert [(one.period, one.value) for one in usage] == [
        (NOON.replace(hour=13, minute=0), 7),
        (NOON.replace(minute=0), 15),
    ]


async def test_totals_are_of_the_span_and_the_tenant_asked_for(database, a, b):
    for hour in range(4):
        await add(database, a, {"tokens": 10**hour}, at=NOON + timedelta(hours=hour))
    await add(database, b, {"tokens": 9}, at=NOON)
    reader = database.reader(a.id)
    since, until = NOON.replace(minute=0) + timedelta(hours=1), NOON.replace(minute=0) + timedelta(hours=3)

    assert await usage_metrics.total_usage(reader) == {"tokens": 1111}
    assert await usage_metrics.total_usage(reader, since=since, until=until) == {"tokens": 110}
    assert await usage_metrics.total_usage(database.reader(b.id)) == {"tokens": 9}
    assert await usage_metrics.total_usage(reader, since=NOON + timedelta(days=9)) == {}


async def test_a_time_without_a_zone_is_refused_naming_the_field(database, a):
    naive = NOON.replace(tzinfo=None)
    for field, call in {
        "at": lambda: add(database, a, {"x": 1}, at=naive),
        "since": lambda: usage_metrics.list_usage(database.reader(a.id), since=naive),
        "until": lambda: usage_metrics.total_usage(database.reader(a.id), until=naive),
    }.items():
        with pytest.raises(InvalidValue) as refused:
            await call()
        assert refused.value.field == field
