"""A statement that outlives its block, in a task of its own: nothing of it is kept, and nothing is lost."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sba_db import Database, DatabaseSettings, StatementRefused, TenantSession, open_database
from tests.integration.db.conftest import until, until_waiting

SLOW_WRITE = """
insert into service.agent_runs (tenant_id, id, user_id, prompt)
select %(tenant)s, %(id)s, %(id)s, 'stray' from pg_sleep(0.3)
"""
COUNT = "select count(*) as n from service.agent_runs where tenant_id = %(tenant)s"
WHO = "select %(tenant)s::text as tenant, pg_sleep(0.05)::text"


async def until_it_runs(database: Database) -> None:
    query = """
    select count(*) as n from pg_stat_activity
    where datname = current_database() and state = 'active' and query like '%%''stray''%%'
      and pid <> pg_backend_pid()
    """

    async def runs() -> bool:
        return bool((await database.system(query))[0]["n"])

    await until(runs)


async def leave_running(database: Database, tenant, strays: list[asyncio.Task[int]]) -> None:
    async with database.tenant(tenant.id) as session:
        strays.append(asyncio.create_task(session.execute(SLOW_WRITE, {"id": uuid.uuid4()})))
        await until_it_runs(database)


async def test_a_block_that_ends_before_its_statement_commits_nothing_and_says_so(either, a, b):
    strays: list[asyncio.Task[int]] = []
    with pytest.raises(StatementRefused, match="still ran"):
        await leave_running(either, a, strays)
    answers = await asyncio.gather(*(either.reader(b.id).fetch_one(WHO) for _ in range(6)))
    with pytest.raises(StatementRefused, match="over"):
        await strays[0]

    assert {answer["tenant"] for answer in answers} == {str(b.id)}
    assert (await either.reader(a.id).fetch_one(COUNT))["n"] == 0


async def test_its_connection_serves_again_once_the_statement_has_ended(database_urls, superuser, a):
    async with open_database(DatabaseSettings(url=database_urls.app, max_size=2)) as database:
        for _ in range(3):
            strays: list[asyncio.Task[int]] = []
            with pytest.raises(StatementRefused):
                await leave_running(database, a, strays)
            await asyncio.gather(*strays, return_exceptions=True)
        assert await asyncio.gather(*(database.reader(a.id).fetch_one(WHO) for _ in range(2)))
        states = superuser.execute(
            "select distinct state from pg_stat_activity"
            " where usename = 'sba_app' and datname = current_database()"
        ).fetchall()

    assert states == [{"state": "idle"}]


async def test_a_statement_that_still_waits_for_a_connection_begins_nothing(database_urls, superuser, a):
    settings = DatabaseSettings(url=database_urls.app, max_size=1, pool_timeout=30)
    async with open_database(settings) as database:

        async def leave_waiting() -> asyncio.Task[int]:
            async with database.tenant(a.id) as session:
                stray = asyncio.create_task(session.execute(SLOW_WRITE, {"id": uuid.uuid4()}))
                strays.append(stray)
                await until_waiting(database._pool)
            return stray

        strays: list[asyncio.Task[int]] = []
        async with database.tenant(a.id) as holder:
            await holder.fetch_one(COUNT)
            with pytest.raises(StatementRefused, match="still ran"):
                await leave_waiting()
        with pytest.raises(StatementRefused, match="over"):
            await strays[0]

        assert (await database.reader(a.id).fetch_one(COUNT))["n"] == 0
        assert (database._pool.size, database._pool.idle) == (1, 1)


async def test_a_block_that_raises_over_its_statement_raises_its_own_error(either, a):
    strays: list[asyncio.Task[int]] = []

    async def fail() -> None:
        async with either.tenant(a.id) as session:
            strays.append(asyncio.create_task(session.execute(SLOW_WRITE, {"id": uuid.uuid4()})))
            await until_it_runs(either)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(StatementRefused):
        await strays[0]

    assert (await either.reader(a.id).fetch_one(COUNT))["n"] == 0


async def test_a_cancelled_stray_gives_its_connection_back(either, a):
    strays: list[asyncio.Task[int]] = []
    with pytest.raises(StatementRefused):
        await leave_running(either, a, strays)
    strays[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await strays[0]

    for _ in range(4):
        assert await asyncio.gather(*(either.reader(a.id).fetch_one(WHO) for _ in range(2)))


async def test_work_that_leaves_a_statement_behind_is_not_repeated(either, a):
    strays: list[asyncio.Task[int]] = []

    async def work(session: TenantSession) -> None:
        strays.append(asyncio.create_task(session.execute(SLOW_WRITE, {"id": uuid.uuid4()})))
        await until_it_runs(either)

    with pytest.raises(StatementRefused, match="still ran"):
        await either.run(a.id, work)
    await asyncio.gather(*strays, return_exceptions=True)

    assert len(strays) == 1
