"""Partitions hold tenants apart as their tables do, and a month without one loses nothing."""

from __future__ import annotations

import asyncio
import uuid

import psycopg
import pytest
from psycopg import sql

from sba_db import (
    ConstraintViolated,
    agent_runs,
    agent_steps,
    audit_logs,
    migrate,
    run_events,
    tool_calls,
    usage_metrics,
)
from sba_db.check import check
from sba_db.partitions import TABLES, Partition, add, missing
from tests.integration.db.conftest import claim, new_run, until
from tests.integration.db.months import content, first_day, id_at, month, partition, partitions_of, query

ATTACKS = (
    "select * from {}",
    "delete from {}",
    "update {} set tenant_id = tenant_id",
    "truncate {}",
    "insert into {} select * from {}",
    "copy {} to stdout",
    "alter table {} no inherit x",
)
ALL_PARTITIONS = """
select c.relname::text from pg_class c
where c.relnamespace = 'service'::regnamespace and c.relispartition and c.relkind = 'r'
order by 1
"""


async def fill(database, tenant) -> uuid.UUID:
    """A row in each partitioned table, of now."""
    run = await new_run(database, tenant)
    lease = await claim(database, tenant, run.id)
    async with database.tenant(tenant.id) as session:
        step = await agent_steps.append_step(session, lease=lease, kind="think", input={}, output={})
        await tool_calls.log_tool_call(
            session, name="t", arguments={}, status="succeeded", duration_ms=1, lease=lease, step_id=step.id
        )
        await run_events.append_event(session, run_id=run.id, type="step.finished", data={}, lease=lease)
        await audit_logs.write_audit(session, actor_id=None, action="a", resource_type="b", resource_id="c")
        await usage_metrics.upsert_metrics(session, metrics={"tokens": 1})
    return run.id


async def test_a_new_database_has_this_month_and_the_next_three(database_urls):
    for table in TABLES:
        names = [f"service.{partition(table, number)}" for number in range(4)]
        assert partitions_of(database_urls.admin, table) == sorted([*names, f"service.{table}_default"])


async def test_rows_of_now_go_to_this_month_and_can_be_read_back(database, database_urls, a):
    run_id = await fill(database, a)

    for table in TABLES:
        assert query(database_urls.admin, f"select count(*) from service.{partition(table, 0)}")[0] > 0
        assert query(database_urls.admin, f"select count(*) from service.{table}_default") == [0]
    reader = database.reader(a.id)
    assert len(await agent_steps.list_steps(reader, run_id)) == 1
    assert len(await tool_calls.list_tool_calls(reader, run_id)) == 1
    assert len(await run_events.read_events(reader, run_id)) == 2


@pytest.mark.parametrize("login", ["app", "worker"])
async def test_nobody_reaches_a_partition_but_through_its_table(database, database_urls, a, login):
    await fill(database, a)
    found = query(database_urls.admin, ALL_PARTITIONS)
    assert len(found) == 5 * len(TABLES)
    with psycopg.connect(getattr(database_urls, login), autocommit=True) as connection:
        connection.execute("select set_config('app.tenant_id', %s, false)", (str(a.id),))
        for name in found:
            for attack in ATTACKS:
                statement = sql.SQL(attack).format(*[sql.Identifier("service", name)] * attack.count("{}"))
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)


async def test_the_owner_sees_no_tenants_rows_in_a_partition_of_a_month(database, database_urls, a):
    await fill(database, a)
    async with migrate.owner_connection(database_urls.migrator) as connection:
        for table in TABLES:
            cursor = await connection.execute(f"select 1 from service.{partition(table, 0)}".encode())
            assert await cursor.fetchall() == []


async def test_every_partition_forces_the_tenants_policy(database_urls):
    loose = query(
        database_urls.admin,
        "select c.relname::text from pg_class c where c.relispartition and c.relkind = 'r'"
        " and c.relnamespace = 'service'::regnamespace and not (c.relrowsecurity and c.relforcerowsecurity"
        " and exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'tenant'))",
    )
    assert loose == []
    assert await check(database_urls.migrator, rehearse=False) == []


async def without_months(urls) -> None:
    """As if nobody had made months for long."""
    for table in TABLES:
        for name in partitions_of(urls.admin, table):
            if not name.endswith("_default"):
                query(urls.admin, f"drop table {name}")


async def test_a_forgotten_month_stops_no_write_and_its_rows_move_when_it_is_made(database, database_urls, a):
    await without_months(database_urls)
    await fill(database, a)
    before = content(database_urls.admin)
    assert all(
        query(database_urls.admin, f"select count(*) from service.{table}_default")[0] for table in TABLES
    )

    assert await migrate.migrate(database_urls.migrator) == []

    assert content(database_urls.admin) == before
    for table in TABLES:
        assert query(database_urls.admin, f"select count(*) from service.{table}_default") == [0]
        assert query(database_urls.admin, f"select count(*) from service.{partition(table, 0)}")[0] > 0
    assert await check(database_urls.migrator) == []


async def test_rows_of_other_months_stay_where_they_are_when_a_month_is_made(database, database_urls, a):
    await without_months(database_urls)
    rows = {number: id_at(month(number)) for number in (-1, 0, 1)}
    with psycopg.connect(database_urls.admin, autocommit=True) as connection:
        for number in rows.values():
            connection.execute(
                "insert into service.audit_logs (tenant_id, id, action, resource_type, resource_id)"
                " values (%s, %s, 'a', 'b', 'c')",
                (a.id, number),
            )
    async with migrate.owner_connection(database_urls.migrator) as connection:
        assert await add(connection, Partition("audit_logs", first_day(0))) == 1
        assert await add(connection, Partition("audit_logs", first_day(0))) == 0

    assert query(database_urls.admin, f"select id from service.{partition('audit_logs', 0)}") == [rows[0]]
    left = query(database_urls.admin, "select id from service.audit_logs_default order by id")
    assert left == [rows[-1], rows[1]]


async def test_a_month_begins_and_ends_with_its_first_and_last_millisecond_in_utc(database_urls, a):
    elsewhere = f"{database_urls.admin}?options=-c%20timezone%3DAsia/Tokyo"
    bounds = query(elsewhere, "select (service.month_bounds('usage_metrics', %s)).since", (first_day(1),))
    listed = query(elsewhere, "select name from service.month_partitions() where parent = 'usage_metrics'")
    first = query(database_urls.admin, "select service.first_id_at(%s)", (month(1),))[0]

    assert bounds == [f"{first_day(1)} 00:00:00+00"]
    assert listed == [partition("usage_metrics", number) for number in range(4)]
    assert first.int == round(month(1).timestamp() * 1000) << 80
    assert query(database_urls.admin, "select service.moment_of(%s) = %s", (id_at(month(2)), month(2))) == [
        True
    ]


async def test_making_a_month_waits_for_a_writer_only_so_long_and_changes_nothing_then(database_urls, a):
    query(database_urls.admin, f"drop table service.{partition('run_events', 1)}")
    async with migrate.owner_connection(database_urls.migrator, lock_timeout=0.05) as connection:
        with psycopg.connect(database_urls.admin) as writer:
            writer.execute("lock table service.run_events_default in row exclusive mode")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await add(connection, Partition("run_events", first_day(1)))
            assert await missing(connection) == [Partition("run_events", first_day(1))]
        await add(connection, Partition("run_events", first_day(1)))
        assert await missing(connection) == []


async def test_making_a_month_waits_its_turn_behind_a_step_that_is_being_written(database, database_urls, a):
    run = await new_run(database, a)
    lease = await claim(database, a, run.id)
    query(database_urls.admin, f"drop table service.{partition('agent_steps', 1)}")
    waiting = "select 1 from pg_locks where not granted and relation = 'service.agent_runs'::regclass"

    async def make() -> int:
        async with migrate.owner_connection(database_urls.migrator) as connection:
            return await add(connection, Partition("agent_steps", first_day(1)))

    async def someone_waits() -> bool:
        return bool(query(database_urls.admin, waiting))

    async with database.tenant(a.id) as session:
        await agent_runs.heartbeat(session, lease=lease, ttl_seconds=30)
        making = asyncio.create_task(make())
        await until(someone_waits)
        await agent_steps.append_step(session, lease=lease, kind="k", input={}, output={})

    assert await making == 0
    assert len(await agent_steps.list_steps(database.reader(a.id), run.id)) == 1


@pytest.mark.parametrize("which", ["unknown", "of another run", "of another tenant"])
async def test_a_tool_call_names_a_step_of_its_own_run_or_none(database, a, b, which):
    run, other, foreign = await new_run(database, a), await new_run(database, a), await new_run(database, b)
    steps = {"unknown": uuid.uuid4()}
    for name, tenant, of in (("of another run", a, other), ("of another tenant", b, foreign)):
        lease = await claim(database, tenant, of.id)
        async with database.tenant(tenant.id) as session:
            step = await agent_steps.append_step(session, lease=lease, kind="k", input={}, output={})
            steps[name] = step.id

    with pytest.raises(ConstraintViolated) as refused:
        async with database.tenant(a.id) as session:
            await tool_calls.log_tool_call(
                session,
                name="t",
                arguments={},
                status="succeeded",
                duration_ms=1,
                run_id=run.id,
                step_id=steps[which],
            )

    assert (refused.value.kind, refused.value.table) == ("foreign_key", "tool_calls")
    assert await tool_calls.list_tool_calls(database.reader(a.id), run.id) == []
