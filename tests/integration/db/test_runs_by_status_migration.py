"""A database gets an index of runs for each status, beside those who write, and loses the one over all."""

from __future__ import annotations

import asyncio
import shutil
import uuid

import psycopg
import pytest

from sba_db import Database, DatabaseSettings, RunStatus, agent_runs, migrate, open_database
from sba_db.check import check
from tests.integration.db.conftest import until
from tests.integration.db.months import content, query

FIRST = "20261201000500"
TENANT, USER = uuid.uuid4(), uuid.uuid4()
RUN = """
insert into service.agent_runs
    (tenant_id, id, user_id, prompt, status, lease_holder, lease_expires_at, error, finished_at)
select t, gen_random_uuid(), %(user)s, 'p', s, case s when 'running' then 'w' end,
       case s when 'running' then now() end, case s when 'failed' then '{}'::jsonb end,
       case when s in ('succeeded', 'failed', 'cancelled') then now() end
from unnest(array[%(tenant)s::uuid, gen_random_uuid()]) t, unnest(enum_range(null::service.run_status)) s,
     generate_series(1, 5)
"""
INDEXES = """
select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
where i.indrelid = 'service.agent_runs'::regclass and i.indisvalid order by 1
"""
BUILDS = "query ilike 'create index concurrently%%' and wait_event_type = 'Lock'"
EXPECTED = sorted(
    ["agent_runs_pkey", "agent_runs_tenant_id_user_id_id_idx", *(f"agent_runs_{s}_idx" for s in RunStatus)]
)


@pytest.fixture
async def old(blank_database, tmp_path):
    """A database from before, with runs of two tenants in every status."""
    for one in migrate.migrations_folder().glob("*/migration.sql"):
        if one.parent.name < FIRST:
            shutil.copytree(one.parent, tmp_path / one.parent.name)
    await migrate.migrate(blank_database.migrator, folder=tmp_path)
    query(blank_database.admin, RUN, {"tenant": TENANT, "user": USER})
    return blank_database


async def listed(database: Database) -> dict[RunStatus, int]:
    reader = database.reader(TENANT)
    return {s: len((await agent_runs.list_runs(reader, status=s)).items) for s in RunStatus}


async def test_an_empty_database_gets_an_index_for_each_status(blank_database):
    await migrate.migrate(blank_database.migrator)

    assert query(blank_database.admin, INDEXES) == EXPECTED
    assert await check(blank_database.migrator) == []


async def test_an_old_database_keeps_its_runs_and_lists_them_by_status_before_and_after(old):
    rows = content(old.admin)
    async with open_database(DatabaseSettings(url=old.app)) as database:
        before = await listed(database)
        await migrate.migrate(old.migrator)
        after = await listed(database)

    assert content(old.admin) == rows
    assert before == after == dict.fromkeys(RunStatus, 5)
    assert query(old.admin, INDEXES) == EXPECTED
    assert await check(old.migrator) == []


async def test_runs_are_written_while_a_build_waits_for_a_transaction(old):
    with psycopg.connect(old.admin) as writer:
        writer.execute("update service.agent_runs set prompt = 'held' where tenant_id = %s", (TENANT,))
        running = asyncio.create_task(migrate.migrate(old.migrator))
        await until(lambda: a_build_waits(old.admin), seconds=30)
        with psycopg.connect(old.admin, options="-c lock_timeout=5s") as another:
            another.execute(RUN, {"tenant": uuid.uuid4(), "user": USER})
    await running

    assert len(query(old.admin, "select id from service.agent_runs")) == 100
    assert query(old.admin, INDEXES) == EXPECTED


async def a_build_waits(url: str) -> bool:
    return bool(query(url, f"select pid from pg_stat_activity where {BUILDS}"))
