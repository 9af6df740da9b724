"""Tenant A cannot see, change or collide with tenant B's rows, in any table, by any statement."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from sba_db import (
    AccessDenied,
    Database,
    DatabaseError,
    agent_runs,
    agent_steps,
    audit_logs,
    open_database,
    run_events,
    tool_calls,
    usage_metrics,
)
from sba_db.settings import DatabaseSettings
from tests.fixtures.databases import Tenant, Urls
from tests.integration.db.conftest import claim, new_run

TABLES = [
    "agent_runs",
    "agent_steps",
    "tool_calls",
    "run_events",
    "idempotency_keys",
    "audit_logs",
    "usage_metrics",
]
FORBIDDEN = (psycopg.errors.InsufficientPrivilege,)


async def fill(database: Database, tenant: Tenant) -> None:
    run = await new_run(database, tenant, idempotency_key="same-key")
    lease = await claim(database, tenant, run.id)
    async with database.tenant(tenant.id) as session:
        step = await agent_steps.append_step(session, lease=lease, kind="k", name="n", input={}, output={})
        await tool_calls.log_tool_call(
            session, name="t", arguments={}, status="succeeded", duration_ms=1, lease=lease, step_id=step.id
        )
        await run_events.append_event(session, run_id=run.id, type="x", data={})
        await audit_logs.write_audit(
            session, actor_id=tenant.user, action="a", resource_type="r", resource_id=run.id
        )
        await usage_metrics.upsert_metrics(session, metrics={"tokens": 1})


@pytest.fixture
async def filled(database, a, b) -> None:
    await fill(database, a)
    await fill(database, b)


def test_the_matrix_covers_every_tenant_table_of_the_catalog(superuser):
    found = superuser.execute(
        "select table_name from information_schema.columns"
        " where table_schema = 'service' and column_name = 'tenant_id'"
    )

    assert {row["table_name"] for row in found} == set(TABLES)


class Attacker:
    """Tenant A on a plain connection of the application's login, writing whatever SQL it likes."""

    def __init__(self, connection: psycopg.AsyncConnection[dict[str, Any]], tenant: uuid.UUID | None) -> None:
        self._connection = connection
        self._tenant = tenant

    async def run(self, statement: sql.Composed, params: Any = ()) -> psycopg.AsyncCursor[dict[str, Any]]:
        async with self._connection.transaction():
            if self._tenant:
                await self._connection.execute(
                    "select set_config('app.tenant_id', %s, true)", (str(self._tenant),)
                )
            return await self._connection.execute(statement, params)


async def fresh(_: psycopg.AsyncConnection[Any], __: Tenant) -> None:
    """Nothing has happened on the connection."""


async def reused(connection: psycopg.AsyncConnection[Any], b: Tenant) -> None:
    async with connection.transaction():
        await connection.execute("select set_config('app.tenant_id', %s, true)", (str(b.id),))
        assert (await (await connection.execute("select * from service.agent_runs")).fetchall()) != []


async def failed(connection: psycopg.AsyncConnection[Any], b: Tenant) -> None:
    async def fail() -> None:
        async with connection.transaction():
            await connection.execute("select set_config('app.tenant_id', %s, true)", (str(b.id),))
            await connection.execute("select 1 / 0 from service.agent_runs")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await fail()


async def cancelled(connection: psycopg.AsyncConnection[Any], b: Tenant) -> None:
    async def sleep() -> None:
        async with connection.transaction():
            await connection.execute("select set_config('app.tenant_id', %s, true)", (str(b.id),))
            started.set()
            await connection.execute("select pg_sleep(60)")

    started = asyncio.Event()
    task = asyncio.create_task(sleep())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture(params=[fresh, reused, failed, cancelled], ids=lambda one: one.__name__)
def past(request):
    return request.param


@pytest.fixture(params=["as another tenant", "as no tenant"])
async def attacker(request, database_urls: Urls, filled, past, tenants) -> AsyncIterator[Attacker]:
    a, b = tenants
    async with await psycopg.AsyncConnection.connect(
        database_urls.app, autocommit=True, row_factory=dict_row
    ) as connection:
        await past(connection, b)
        yield Attacker(connection, a.id if request.param == "as another tenant" else None)


def rows_of(superuser, table: str, tenant: Tenant) -> list[dict[str, Any]]:
    query = sql.SQL("select * from service.{} where tenant_id = %s").format(sql.Identifier(table))
    return superuser.execute(query, (tenant.id,)).fetchall()


async def test_no_statement_reaches_the_rows_of_another_tenant(attacker, superuser, a, b):
    for table in TABLES:
        name = sql.Identifier("service", table)
        before = rows_of(superuser, table, b)
        assert before, table
        await select_everything_and_by_tenant(attacker, name, b)
        await change(attacker, name, b)
        await insert_a_copy(attacker, name, before[0], b)
        assert rows_of(superuser, table, b) == before, table


async def select_everything_and_by_tenant(attacker: Attacker, name: sql.Identifier, b: Tenant) -> None:
    everything = await (await attacker.run(sql.SQL("select tenant_id from {}").format(name))).fetchall()
    by_tenant = await attacker.run(sql.SQL("select 1 from {} where tenant_id = %s").format(name), (b.id,))

    assert b.id not in {row["tenant_id"] for row in everything}
    assert await by_tenant.fetchall() == []


async def change(attacker: Attacker, name: sql.Identifier, b: Tenant) -> None:
    for statement in (
        "update {} set tenant_id = tenant_id where tenant_id = %s",
        "delete from {} where tenant_id = %s",
    ):
        try:
            assert (await attacker.run(sql.SQL(statement).format(name), (b.id,))).rowcount == 0
        except FORBIDDEN:
            continue
    with pytest.raises(FORBIDDEN):
        await attacker.run(sql.SQL("truncate {}").format(name))


async def insert_a_copy(attacker: Attacker, name: sql.Identifier, row: dict[str, Any], b: Tenant) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, row))
    values = sql.SQL(", ").join(sql.Placeholder() for _ in row)
    copied = [psycopg.types.json.Jsonb(one) if isinstance(one, dict) else one for one in row.values()]
    for conflict in (
        "",
        " on conflict do nothing",
        " on conflict (tenant_id, {}) do update set tenant_id = excluded.tenant_id",
    ):
        rest = [one for one in key_of(name) if one != "tenant_id"]
        tail = (
            sql.SQL(conflict).format(sql.SQL(", ").join(map(sql.Identifier, rest)))
            if "{}" in conflict
            else sql.SQL(conflict)
        )
        statement = sql.SQL("insert into {} ({}) values ({})").format(name, columns, values) + tail
        with pytest.raises(FORBIDDEN):
            await attacker.run(statement, copied)


def key_of(name: sql.Identifier) -> tuple[str, ...]:
    keys = {
        "run_events": ("tenant_id", "run_id", "seq"),
        "idempotency_keys": ("tenant_id", "operation", "key"),
        "usage_metrics": ("tenant_id", "period", "metric"),
    }
    table = name.as_string().rpartition(".")[2].strip('"')
    return keys.get(table, ("tenant_id", "id"))


async def test_a_row_cannot_be_moved_to_another_tenant(database, filled, a, b):
    for table in ("agent_runs", "idempotency_keys", "usage_metrics"):
        with pytest.raises(AccessDenied):
            async with database.tenant(a.id) as session:
                await session.execute(
                    f"update service.{table} set tenant_id = %(other)s where tenant_id = %(tenant)s",
                    {"other": b.id},
                )


async def test_a_step_cannot_refer_to_another_tenants_run(database, a, b):
    foreign = await new_run(database, b)
    with pytest.raises(DatabaseError, match="agent_steps_tenant_id_run_id_fkey"):
        async with database.tenant(a.id) as session:
            await session.execute(
                """
                insert into service.agent_steps
                    (tenant_id, id, run_id, seq, attempt, kind, name, status, input)
                values (%(tenant)s, %(id)s, %(run_id)s, 1, 1, 'k', 'n', 'succeeded', '{}')
                """,
                {"id": uuid.uuid4(), "run_id": foreign.id},
            )


async def test_repositories_answer_another_tenants_id_as_they_answer_an_unknown_one(database, filled, a, b):
    foreign = await new_run(database, b)
    reader = database.reader(a.id)

    assert await agent_runs.get_run(reader, foreign.id) is None
    assert await agent_steps.list_steps(reader, foreign.id) == []
    assert await tool_calls.list_tool_calls(reader, foreign.id) == []
    assert await run_events.read_events(reader, foreign.id) == []
    for attack in (
        agent_runs.cancel_run,
        lambda s, run_id: agent_runs.claim_run(s, run_id=run_id, holder="h", ttl_seconds=1),
    ):
        with pytest.raises(DatabaseError) as foreign_error:
            async with database.tenant(a.id) as session:
                await attack(session, run_id=foreign.id)
        assert type(foreign_error.value).__name__ == "RunNotFound"


async def test_two_tenants_may_use_the_same_idempotency_key(database, filled, a, b):
    first = await new_run(database, a, prompt="one", idempotency_key="shared")
    second = await new_run(database, b, prompt="two", idempotency_key="shared")

    assert (first.replayed, second.replayed) == (False, False)


async def test_a_storm_of_cancelled_calls_leaves_no_tenant_behind(database_urls, a, b):
    settings = DatabaseSettings(url=database_urls.app, max_size=4, statement_timeout=20)
    async with open_database(settings) as database:
        await fill(database, a)
        await fill(database, b)
        leaks: list[Any] = []

        async def look(tenant: Tenant, turn: int) -> None:
            query = "select tenant_id from service.agent_runs where %(tenant)s::uuid is not null"
            if turn % 2:
                rows = await database.reader(tenant.id).fetch_all(query)
            else:
                async with database.tenant(tenant.id) as session:
                    rows = await session.fetch_all(query)
                    rows += await session.fetch_all(query)
            leaks.extend(row for row in rows if row["tenant_id"] != tenant.id)

        for turn in range(60):
            tasks = [asyncio.create_task(look((a, b)[one % 2], one + turn)) for one in range(8)]
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            for victim in tasks[turn % 3 :: 3]:
                victim.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(one) for one in results} <= {type(None), asyncio.CancelledError}

        assert leaks == []
        await asyncio.gather(*(look((a, b)[one % 2], one) for one in range(16)))
        assert leaks == []
        assert await database.system("select id from service.agent_runs") == []
