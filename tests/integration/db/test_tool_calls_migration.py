"""A database from before calls had starts keeps its calls, and the release before goes on writing to it."""

from __future__ import annotations

import shutil
import uuid

import psycopg
import pytest

from sba_db import DatabaseSettings, ToolCallStatus, migrate, open_database, tool_calls
from sba_db.check import check
from sba_db.retention import Policy, retention
from tests.fixtures.databases import Tenant
from tests.integration.db.conftest import claim, new_run
from tests.integration.db.months import content, month, query, write_history

FIRST, LAST = "20261202000000", "20261202000002"
TENANT = uuid.uuid4()
AS_BEFORE = """
insert into service.tool_calls
    (tenant_id, id, run_id, step_id, user_id, name, status, arguments, result, error, duration_ms)
values (%(tenant)s, %(id)s, null, null, null, 't', 'failed', '{}', null, '{}', 1)
"""
UNCHECKED = """
select conname::text from pg_constraint where connamespace = 'service'::regnamespace and not convalidated
"""


@pytest.fixture
async def old(blank_database, tmp_path):
    """A database from before, with calls of several months in their partitions."""
    for one in migrate.migrations_folder().glob("*/migration.sql"):
        if one.parent.name < FIRST:
            shutil.copytree(one.parent, tmp_path / one.parent.name)
    await migrate.migrate(blank_database.migrator, folder=tmp_path)
    for tenant in (TENANT, uuid.uuid4()):
        write_history(blank_database.admin, tenant, start=month(-2), end=month(0, day=2), every=43_200.0)
    await retention(blank_database.migrator, Policy())
    return blank_database


async def test_an_old_database_keeps_its_calls_and_reads_them_as_ended(old):
    before = content(old.admin)
    runs = query(old.admin, "select id from service.agent_runs where tenant_id = %s order by id", (TENANT,))
    await migrate.migrate(old.migrator)
    async with open_database(DatabaseSettings(url=old.app)) as database:
        (call,) = await tool_calls.list_tool_calls(database.reader(TENANT), runs[0])

    assert content(old.admin) == before
    assert (call.status, call.duration_ms, call.attempt) == (ToolCallStatus.FAILED, 3, None)
    assert call.finished_at is None
    assert query(old.admin, UNCHECKED) == []
    assert await check(old.migrator) == []


async def test_on_an_old_database_calls_start_and_end_and_are_lost(old):
    someone = Tenant(TENANT, uuid.uuid4(), "old")
    await migrate.migrate(old.migrator)
    async with open_database(DatabaseSettings(url=old.app)) as database:
        lease = await claim(database, someone, (await new_run(database, someone)).id)
        async with database.tenant(TENANT) as session:
            call = await tool_calls.start_tool_call(session, name="t", arguments={}, lease=lease)
            await tool_calls.finish_tool_call(
                session, call_id=call.id, status="succeeded", duration_ms=1, lease=lease
            )
            await tool_calls.start_tool_call(session, name="t", arguments={}, lease=lease)
        query(old.admin, "update service.agent_runs set lease_expires_at = now() where status = 'running'")
        await claim(database, someone, lease.run_id)
        calls = await tool_calls.list_tool_calls(database.reader(TENANT), lease.run_id)

    assert [one.status for one in calls] == ["succeeded", "lost"]


async def test_the_release_before_goes_on_writing_calls_between_the_migrations_and_after(old, tmp_path):
    for name in (FIRST, "20261202000001", LAST):
        folder = next(migrate.migrations_folder().glob(f"{name}_*"))
        shutil.copytree(folder, tmp_path / folder.name)
        await migrate.migrate(old.migrator, folder=tmp_path)
        with psycopg.connect(old.app) as writer:
            writer.execute("select set_config('app.tenant_id', %s, true)", (str(TENANT),))
            writer.execute(AS_BEFORE, {"tenant": TENANT, "id": uuid.uuid4()})


async def test_the_check_of_old_calls_lets_others_write_to_them(old, tmp_path):
    for one in migrate.migrations_folder().glob("*/migration.sql"):
        if FIRST <= one.parent.name < LAST:
            shutil.copytree(one.parent, tmp_path / one.parent.name)
    await migrate.migrate(old.migrator, folder=tmp_path)
    with psycopg.connect(old.admin) as writer:
        writer.execute("update service.tool_calls set status = status where false")
        writer.execute(AS_BEFORE, {"tenant": TENANT, "id": uuid.uuid4()})
        await migrate.migrate(old.migrator)

    assert query(old.admin, UNCHECKED) == []
