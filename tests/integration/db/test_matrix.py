"""The A/B matrix: every tenant table of the catalog, every statement, on connections of every past."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from sba_db import Database, DatabaseError, DatabaseSettings, Reader, TenantSession, open_database
from tests.fixtures.databases import Tenant, Urls
from tests.integration.db.attacks import Attack, Connection, attacks, booty
from tests.integration.db.catalog import Table, give_a_row, row_for, rows_of, tenant_tables
from tests.integration.db.conftest import until

PID = "select pg_backend_pid() as pid"
LOOK = "select tenant_id from service.agent_runs where tenant_id = %(tenant)s"
STUMBLE = "select 1 / 0 from service.agent_runs where tenant_id = %(tenant)s"
SLEEP = "select pg_sleep(60) from service.agent_runs where tenant_id = %(tenant)s"
SLEEPING = """
select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database() and pid = %s
"""

Work = Callable[[Reader | TenantSession], Awaitable[Any]]


@pytest.fixture
def tables(superuser, a, b) -> list[Table]:
    """The tenant tables, with rows of both tenants in each."""
    found = tenant_tables(superuser)
    for table in found:
        for tenant in (a, b):
            if not table.part_of and not rows_of(superuser, table, tenant):
                give_a_row(superuser, table, tenant)
    return found


class Past:
    """What has happened as the victim on the only connection of a database."""

    def __init__(self, database: Database, victim: Tenant, superuser: Any) -> None:
        self._database = database
        self._victim = victim
        self._superuser = superuser

    async def fresh(self) -> None:
        """Nothing yet."""

    async def reused(self) -> None:
        async def look(session: Reader | TenantSession) -> None:
            assert await session.fetch_all(LOOK)

        await self._both_ways(look)

    async def failed(self) -> None:
        async def stumble(session: Reader | TenantSession) -> None:
            await session.fetch_all(STUMBLE)

        for way in (self._read, self._write):
            with pytest.raises(DatabaseError):
                await way(stumble)

    async def cancelled(self) -> None:
        async def sleep(session: Reader | TenantSession) -> None:
            await session.fetch_all(SLEEP)

        for way in (self._read, self._write):
            pid = (await self._database.system(PID))[0]["pid"]
            task = asyncio.create_task(way(sleep))
            await self._until_asleep(pid)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def _both_ways(self, work: Work) -> None:
        await self._read(work)
        await self._write(work)

    async def _read(self, work: Work) -> None:
        await work(self._database.reader(self._victim.id))

    async def _write(self, work: Work) -> None:
        async with self._database.tenant(self._victim.id) as session:
            await session.fetch_all(LOOK)
            await work(session)

    async def _until_asleep(self, pid: int) -> None:
        async def asleep() -> bool:
            return self._superuser.execute(SLEEPING, (pid,)).fetchone() is not None

        await until(asleep)


def only_connection(urls: Urls, *, pooler: bool) -> AbstractAsyncContextManager[Database]:
    return open_database(DatabaseSettings(url=urls.app, max_size=1, pooler=pooler, statement_timeout=60))


@asynccontextmanager
async def borrowed(database: Database) -> AsyncIterator[Connection]:
    """The database's own connection, for statements that its sessions would not send."""
    connection = await database._pool.acquire()
    try:
        yield connection
    finally:
        database._pool.release(connection)


async def leaks(
    connection: Connection, superuser: Any, tables: list[Table], identity: Any, victim: Tenant
) -> list[str]:
    """The attacks that got hold of something, or changed a version of a row of the victim's."""
    found: list[str] = []
    for table in tables:
        before = rows_of(superuser, table, victim)
        for attack in attacks(table, row_for(superuser, table, victim), victim):
            if await hit(connection, attack, identity, victim) or rows_of(superuser, table, victim) != before:
                found.append(f"{table}: {attack.name}")
                before = rows_of(superuser, table, victim) or before
    return found


async def hit(connection: Connection, attack: Attack, identity: Any, victim: Tenant) -> bool:
    return await booty(connection, attack, identity.id if identity else None, victim)


@pytest.fixture(params=[False, True], ids=["direct", "pooler"])
async def only(request, database_urls) -> AsyncIterator[Database]:
    """A database of one connection."""
    async with only_connection(database_urls, pooler=request.param) as database:
        yield database


@pytest.fixture(params=["as no tenant", "as another tenant"])
def identity(request, a) -> Tenant | None:
    return a if request.param == "as another tenant" else None


@pytest.mark.parametrize("past", ["fresh", "reused", "failed", "cancelled"])
async def test_no_statement_gets_hold_of_another_tenants_row(only, superuser, tables, identity, b, *, past):
    pid = (await only.system(PID))[0]["pid"] if past != "fresh" else None
    await getattr(Past(only, b, superuser), past)()
    async with borrowed(only) as connection:
        assert pid in {None, connection.info.backend_pid}, "the past was another connection's"

        assert await leaks(connection, superuser, tables, identity, b) == []


SABOTAGE = {
    "row level security is off": (
        "alter table {} disable row level security",
        "service.idempotency_keys",
        {"select by id", "select by filter", "copy to by id", "select of the table", "insert of the row"},
    ),
    "everyone may read": (
        "create policy leak on {} for select using (true)",
        "service.idempotency_keys",
        {"select by id", "count by filter", "copy to by filter", "copy to of the table"},
    ),
    "everyone may write": (
        "create policy leak on {} for insert with check (true)",
        "service.idempotency_keys",
        {"insert of the row"},
    ),
    "everyone may change": (
        "create policy leak on {} for all using (true) with check (true)",
        "service.usage_metrics",
        {"update by id", "update by filter", "merge by id", "upsert by filter", "upsert of the row"},
    ),
    "everyone may update": (
        "create policy leak on {} for update using (true) with check (true)",
        "service.usage_metrics",
        {"update of the table"},
    ),
    "everyone may change what ends a call": (
        "create policy leak on {} for all using (true) with check (true)",
        "service.tool_calls",
        {"change by id", "change by filter"},
    ),
    "everyone may delete": (
        "create policy leak on {} for delete using (true)",
        "public.documents",
        {"delete of the table"},
    ),
    "the table can be emptied": (
        "grant truncate on {} to sba_app",
        "service.idempotency_keys",
        {"truncate of the table"},
    ),
}


@pytest.mark.parametrize("hole", SABOTAGE)
async def test_the_matrix_finds_a_hole_where_there_is_one(database, superuser, tables, tenants, *, hole):
    statement, name, expected = SABOTAGE[hole]
    superuser.execute(statement.format(name))
    (holed,) = [table for table in tables if str(table) == name]
    async with borrowed(database) as connection:
        found = await leaks(connection, superuser, [holed], *tenants)

    assert {f"{name}: {one}" for one in expected} <= set(found)


async def test_the_matrix_finds_a_partition_that_can_be_reached_around_its_table(
    database, superuser, tables, tenants
):
    parts = [table for table in tables if table.part_of and rows_of(superuser, table, tenants[1])]
    assert parts
    superuser.execute(
        f"alter table {parts[0]} disable row level security; grant select on {parts[0]} to sba_app"
    )
    async with borrowed(database) as connection:
        found = await leaks(connection, superuser, parts[:1], *tenants)

    assert {f"{parts[0]}: select by id", f"{parts[0]}: copy to of the table"} <= set(found)


def test_the_matrix_covers_tables_of_every_schema_that_holds_tenants_rows(tables):
    assert {table.schema for table in tables} >= {"service", "public"}
    assert all(table.key for table in tables)
