"""A connection that ended before commit was sent has surely written nothing, and is told so."""

from __future__ import annotations

import pytest

from sba_db import (
    DatabaseSettings,
    DatabaseTimeout,
    DatabaseUnavailable,
    TenantSession,
    agent_runs,
    open_database,
)
from tests.integration.db.conftest import until

END = """
select pg_terminate_backend(pid) from pg_stat_activity
where usename = 'sba_app' and datname = current_database() and state = 'idle in transaction'
"""
COUNT = "select count(*) as n from service.agent_runs where tenant_id = %(tenant)s"


async def until_it_has_ended(session: TenantSession) -> None:
    async def ended() -> bool:
        return session._connection.hung_up()

    await until(ended)


async def test_it_is_not_in_doubt(either, a, superuser):
    async def write() -> None:
        async with either.tenant(a.id) as session:
            await agent_runs.create_run(session, user_id=a.user, prompt="x")
            superuser.execute(END)
            await until_it_has_ended(session)

    with pytest.raises(DatabaseUnavailable) as lost:
        await write()

    assert not lost.value.in_doubt
    assert (await either.reader(a.id).fetch_one(COUNT))["n"] == 0


async def test_such_a_transaction_is_run_again_and_happens_once(either, a, superuser):
    calls = 0

    async def work(session: TenantSession) -> None:
        nonlocal calls
        calls += 1
        await agent_runs.create_run(session, user_id=a.user, prompt="x")
        if calls == 1:
            superuser.execute(END)
            await until_it_has_ended(session)

    await either.run(a.id, work)

    assert calls == 2
    assert (await either.reader(a.id).fetch_one(COUNT))["n"] == 1


@pytest.mark.parametrize("pooler", [False, True])
@pytest.mark.parametrize("more", [False, True])
async def test_one_that_sat_idle_too_long_timed_out_and_is_not_run_again(database_urls, a, pooler, more):
    calls = 0

    async def work(session: TenantSession) -> None:
        nonlocal calls
        calls += 1
        await agent_runs.create_run(session, user_id=a.user, prompt="x")
        await until_it_has_ended(session)
        if more:
            await session.fetch_one(COUNT)

    settings = DatabaseSettings(url=database_urls.app, pooler=pooler, idle_timeout=0.2)
    async with open_database(settings) as database:
        with pytest.raises(DatabaseTimeout, match="idle too long"):
            await database.run(a.id, work)

        assert calls == 1
        assert (await database.reader(a.id).fetch_one(COUNT))["n"] == 0
