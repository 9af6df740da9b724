"""Conflicts between real transactions: run again whole, and carried out exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from sba_db import (
    Database,
    DatabaseSettings,
    DatabaseUnavailable,
    MembershipDenied,
    StatementRefused,
    TenantSession,
    TransactionConflict,
    agent_runs,
    new_id,
    open_database,
    usage_metrics,
)
from sba_supabase.tenant import ENTER_TENANT
from tests.integration.db.conftest import new_run

COUNT = "select count(*) as n from service.agent_runs where tenant_id = %(tenant)s"
BUMP = """
update service.usage_metrics set value = value + 1
where tenant_id = %(tenant)s and metric = %(metric)s
"""
VALUE = "select value from service.usage_metrics where tenant_id = %(tenant)s and metric = %(metric)s"
STORE = """
update service.usage_metrics set value = %(value)s where tenant_id = %(tenant)s and metric = %(metric)s
"""


class Meeting:
    """Lets the first round of callers go on only when all of them have come; later ones pass."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._complete = asyncio.Event()

    async def reach(self) -> None:
        self._missing -= 1
        if self._missing <= 0:
            self._complete.set()
        await self._complete.wait()


async def counters(database: Database, tenant, *names: str) -> None:
    async with database.tenant(tenant.id) as session:
        await usage_metrics.upsert_metrics(session, metrics=dict.fromkeys(names, 0))


async def totals(database: Database, tenant) -> dict[str, Decimal]:
    return await usage_metrics.total_usage(database.reader(tenant.id))


def crossing(meeting: Meeting, first: str, second: str, runs: list[str]):
    """Takes two rows' locks in an order, meeting the others in between."""

    async def work(session: TenantSession) -> str:
        runs.append(first)
        await session.execute(BUMP, {"metric": first})
        await meeting.reach()
        await session.execute(BUMP, {"metric": second})
        return first

    return work


async def test_two_transactions_that_deadlock_both_happen_and_once_each(database, a):
    await counters(database, a, "x", "y")
    meeting, runs = Meeting(2), []
    async with asyncio.timeout(60):
        answers = await asyncio.gather(
            database.run(a.id, crossing(meeting, "x", "y", runs)),
            database.run(a.id, crossing(meeting, "y", "x", runs)),
        )

    assert answers == ["x", "y"]
    assert len(runs) == 3
    assert await totals(database, a) == {"x": 2, "y": 2}


async def test_a_deadlock_in_a_block_that_cannot_be_repeated_reaches_the_caller(database, a):
    await counters(database, a, "x", "y")
    meeting = Meeting(2)

    async def block(first: str, second: str) -> None:
        async with database.tenant(a.id) as session:
            await crossing(meeting, first, second, [])(session)

    async with asyncio.timeout(60):
        results = await asyncio.gather(block("x", "y"), block("y", "x"), return_exceptions=True)

    assert [type(one) for one in results if one] == [TransactionConflict]
    assert await totals(database, a) == {"x": 1, "y": 1}


def rereading(meeting: Meeting, runs: list[int]) -> Callable:
    """Reads a counter, meets the others, and writes one more than it read: lost, if nothing guards it."""

    async def work(session: TenantSession) -> None:
        runs.append(1)
        row = await session.fetch_one(VALUE, {"metric": "x"})
        await meeting.reach()
        await session.execute(STORE, {"metric": "x", "value": row["value"] + 1})

    return work


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_a_lost_update_is_a_conflict_that_is_repeated(database, a, isolation):
    await counters(database, a, "x")
    meeting, runs = Meeting(4), []
    async with asyncio.timeout(60):
        work = rereading(meeting, runs)
        await asyncio.gather(*(database.run(a.id, work, isolation=isolation) for _ in range(4)))

    assert await totals(database, a) == {"x": 4}
    assert len(runs) >= 7


async def test_without_isolation_the_same_work_loses_updates(database, a):
    await counters(database, a, "x")
    work = rereading(Meeting(4), [])
    await asyncio.gather(*(database.run(a.id, work) for _ in range(4)))

    assert await totals(database, a) == {"x": 1}


async def test_write_skew_is_a_conflict_and_the_repetition_sees_the_other_write(database, a):
    """Two transactions each write only if the other has not: under serializable one of them does."""
    meeting, runs = Meeting(2), []

    async def work(session: TenantSession, mine: str) -> None:
        runs.append(mine)
        row = await session.fetch_one(
            "select count(*) as n from service.usage_metrics where tenant_id = %(tenant)s"
        )
        await meeting.reach()
        if row["n"] == 0:
            await usage_metrics.upsert_metrics(session, metrics={mine: 1})

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(
                database.run(a.id, lambda session, mine=mine: work(session, mine), isolation="serializable")
                for mine in ("x", "y")
            )
        )

    assert len(runs) >= 3
    assert sum((await totals(database, a)).values()) == 1


async def test_an_error_of_the_work_is_not_repeated_and_leaves_nothing(database, a):
    runs = []

    async def work(session: TenantSession) -> None:
        runs.append(1)
        await agent_runs.create_run(session, user_id=a.user, prompt="x")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(a.id, work)

    assert len(runs) == 1
    assert (await database.reader(a.id).fetch_one(COUNT))["n"] == 0


async def test_a_stranger_is_refused_at_the_first_run(database, a, b):
    runs = []

    async def work(session: TenantSession) -> None:
        runs.append(1)
        await session.fetch_one(COUNT)

    with pytest.raises(MembershipDenied):
        await database.run(a.id, work, member=b.user)
    assert len(runs) == 1
    await database.run(a.id, work, member=a.user)


def creating(tenant, runs: list[int]):
    async def work(session: TenantSession):
        runs.append(1)
        return await agent_runs.create_run(session, user_id=tenant.user, prompt="x")

    return work


async def test_a_connection_lost_in_the_middle_is_replaced_and_the_work_done_once(wired, database, a):
    through, wire = wired
    cuts, runs = iter([True]), []
    wire.cut_before = lambda data: b"service.agent_runs" in data and next(cuts, False)

    run = await through.run(a.id, creating(a, runs))

    assert len(runs) == 2
    page = await agent_runs.list_runs(database.reader(a.id))
    assert [one.id for one in page.items] == [run.id]


async def test_a_commit_in_doubt_reaches_the_caller_who_cannot_repeat_it(wired, a):
    through, wire = wired
    wire.cut_after = lambda data: b"commit" in data
    runs = []

    with pytest.raises(DatabaseUnavailable) as lost:
        await through.run(a.id, creating(a, runs))

    assert lost.value.in_doubt
    assert len(runs) == 1


async def test_work_that_may_happen_twice_is_repeated_after_a_commit_in_doubt(wired, database, a):
    through, wire = wired
    cuts, runs = iter([True]), []
    wire.cut_after = lambda data: b"commit" in data and next(cuts, False)

    async def work(session: TenantSession):
        runs.append(1)
        return await agent_runs.create_run(session, user_id=a.user, prompt="x", idempotency_key="k")

    run = await through.run(a.id, work, idempotent=True)

    assert len(runs) == 2
    page = await agent_runs.list_runs(database.reader(a.id))
    assert [one.id for one in page.items] == [run.id]


async def test_an_insert_that_waited_for_a_duplicate_is_repeated_under_repeatable_read(database, a):
    """The duplicate's row is newer than the snapshot: the server says 40001, and the second run replays."""

    async def create(session: TenantSession):
        return await agent_runs.create_run(session, user_id=a.user, prompt="x", idempotency_key="k")

    runs = await asyncio.gather(*(database.run(a.id, create, isolation="repeatable read") for _ in range(12)))

    assert len({run.id for run in runs}) == 1
    assert sum(not run.replayed for run in runs) == 1


@pytest.mark.parametrize("filtered", ["", " /* %(tenant)s */"])
@pytest.mark.parametrize("statement", ["savepoint x", "rollback to x", "begin", "commit", "rollback"])
async def test_a_session_takes_no_savepoint_and_no_word_about_its_transaction(either, a, statement, filtered):
    with pytest.raises(StatementRefused):
        async with either.tenant(a.id) as session:
            await session.execute(statement + filtered)


async def test_a_second_statement_cannot_ride_along(either, a):
    with pytest.raises(StatementRefused):
        async with either.tenant(a.id) as session:
            await session.execute("select %(tenant)s::uuid; savepoint x")


async def test_a_block_inside_a_block_is_a_transaction_of_its_own(database, a):
    async def fail() -> None:
        async with database.tenant(a.id) as outer:
            await agent_runs.create_run(outer, user_id=a.user, prompt="outer")
            await new_run(database, a, prompt="inner")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    page = await agent_runs.list_runs(database.reader(a.id))
    assert [run.prompt for run in page.items] == ["inner"]


async def test_behind_a_pooler_conflicts_are_repeated_too(database_urls, a):
    settings = DatabaseSettings(url=database_urls.app, pooler=True, enter_member=ENTER_TENANT)
    async with open_database(settings) as database, asyncio.timeout(60):
        await counters(database, a, "x")
        work = rereading(Meeting(3), [])
        await asyncio.gather(*(database.run(a.id, work, isolation="serializable") for _ in range(3)))
        assert await totals(database, a) == {"x": 3}
        assert await agent_runs.get_run(database.reader(a.id), new_id()) is None
