"""Behind a transaction pooler no connection has options of its own: limits go with each transaction."""

from __future__ import annotations

import pytest

from sba_db import Database, DatabaseSettings, DatabaseTimeout, open_database
from sba_supabase.tenant import ENTER_TENANT
from tests.integration.db.bouncer import PROGRAM, bouncer
from tests.integration.db.conftest import until

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer on this machine")

SETTINGS = """
select current_setting('statement_timeout') as statement,
       current_setting('idle_in_transaction_session_timeout') as idle,
       current_setting('transaction_read_only') as read_only, %(tenant)s::uuid
"""
SLEEPING = """
select 1 from pg_stat_activity where datname = current_database() and usename = 'sba_app' and state <> 'idle'
"""


@pytest.fixture
def through(database_urls):
    with bouncer(database_urls, servers=1) as url:
        yield url


def pooled(url: str, **limits: float):
    return open_database(DatabaseSettings(url=url, pooler=True, enter_member=ENTER_TENANT, **limits))


async def test_every_transaction_has_its_limits_and_none_is_left_behind(through, a):
    async with pooled(through, statement_timeout=7, idle_timeout=9) as database:
        read = await database.reader(a.id).fetch_one(SETTINGS)
        async with database.tenant(a.id, member=a.user) as session:
            wrote = await session.fetch_one(SETTINGS)
            again = await session.fetch_one(SETTINGS)
    async with pooled(through, statement_timeout=0.0001) as database:
        least = await database.reader(a.id).fetch_one(SETTINGS)

    assert (read["statement"], read["read_only"]) == ("7s", "on")
    assert (wrote["statement"], wrote["idle"], wrote["read_only"]) == ("7s", "9s", "off")
    assert again == wrote
    assert least["statement"] == "1ms"


async def test_what_a_statement_answers_is_not_mixed_with_its_limits(through):
    async with pooled(through) as database:
        answer = await database.system("select set_config('search_path', '', true) as path")
    assert answer == [{"path": ""}]


async def test_the_server_ends_a_slow_statement_itself(through, superuser, a):
    async with pooled(through, statement_timeout=0.2, grace=30) as database:
        with pytest.raises(DatabaseTimeout, match="the statement's time limit"):
            await database.reader(a.id).fetch_one("select pg_sleep(60), %(tenant)s::uuid")
        with pytest.raises(DatabaseTimeout, match="the statement's time limit"):
            async with database.tenant(a.id) as session:
                await session.fetch_one("select pg_sleep(60), %(tenant)s::uuid")
        with pytest.raises(DatabaseTimeout, match="the statement's time limit"):
            await database.system("select pg_sleep(60)")

    assert superuser.execute(SLEEPING).fetchall() == []


async def test_a_transaction_left_idle_gives_the_poolers_connection_up(through, superuser, a):
    async def ended() -> bool:
        return superuser.execute(SLEEPING).fetchone() is None

    async def idle(database: Database) -> None:
        async with database.tenant(a.id) as session:
            await session.fetch_one(SETTINGS)
            await until(ended)

    async with pooled(through, idle_timeout=0.2) as database:
        with pytest.raises(DatabaseTimeout):
            await idle(database)
        assert await database.reader(a.id).fetch_one(SETTINGS)
