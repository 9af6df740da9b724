"""Migrations that cannot run in a transaction: statement by statement, repeatable where that is safe."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from sba_db import DatabaseUnavailable, MigrationFailed, MigrationUnfinished, migrate
from sba_db.migrate import MigrationState, Progress
from tests.integration.db.conftest import until

TABLES = """
create schema if not exists service;
create table service.one (id int);
create table service.two (id int);
"""
INDEXES = """-- both tables
create unique index concurrently "one id" on "service"."one" (id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS two_id
    ON service.two (id);
"""
INDEX = "20260102000000_index"
LEDGER = """
select migration_name, logs, finished_at is not null as finished, rolled_back_at is not null as given_up
from service._prisma_migrations order by started_at
"""


def query(url: str, statement: str):
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def indexes(url: str) -> dict[str, bool]:
    found = query(
        url,
        "select c.relname as name, i.indisvalid as valid"
        " from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid"
        " where t.relname in ('one', 'two')",
    )
    return {row["name"]: row["valid"] for row in found}


def write(folder: Path, name: str, script: str) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "migration.sql").write_text(script)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "20260101000000_tables", TABLES)
    write(tmp_path, INDEX, INDEXES)
    return tmp_path


async def state(url: str, folder: Path) -> MigrationState:
    return next(one.state for one in await migrate.status(url, folder=folder) if one.name == INDEX)


async def test_several_indexes_are_built_concurrently_in_one_migration(blank_database, folder):
    told: list[Progress] = []
    await migrate.migrate(blank_database.migrator, told.append, folder=folder)

    assert indexes(blank_database.admin) == {"one id": True, "two_id": True}
    assert [one.note for one in told if one.migration == INDEX] == [
        "",
        'create unique index concurrently "one id" on "service"."one" (id)',
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS two_id ON service.two (id)",
        "",
    ]
    assert str(told[0]) == "[1/2] 20260101000000_tables"


async def test_what_broke_off_is_repeated_and_an_invalid_index_replaced(blank_database, folder):
    write(
        folder,
        "20260101000001_rows",
        "insert into service.two values (1); insert into service.one values (1), (1)",
    )
    with pytest.raises(MigrationFailed, match="could not create unique index") as failed:
        await migrate.migrate(blank_database.migrator, folder=folder)
    assert failed.value.migration == INDEX
    assert indexes(blank_database.admin) == {"one id": False}
    assert await state(blank_database.migrator, folder) is MigrationState.UNFINISHED

    with pytest.raises(MigrationFailed, match="could not create unique index"):
        await migrate.migrate(blank_database.migrator, folder=folder)
    query(blank_database.admin, "truncate service.one")
    told: list[Progress] = []
    assert await migrate.migrate(blank_database.migrator, told.append, folder=folder) == [INDEX]

    assert indexes(blank_database.admin) == {"one id": True, "two_id": True}
    assert any("an earlier attempt left invalid" in one.note for one in told)
    ledger = [row for row in query(blank_database.admin, LEDGER) if row["migration_name"] == INDEX]
    assert [(row["finished"], row["given_up"]) for row in ledger] == [
        (False, True),
        (False, True),
        (True, False),
    ]
    assert "could not create unique index" in ledger[0]["logs"]


async def test_an_index_that_was_built_before_the_runner_died_is_kept(blank_database, folder):
    write(folder, INDEX, INDEXES.replace("service.two", "service.three"))
    with pytest.raises(MigrationFailed, match="three"):
        await migrate.migrate(blank_database.migrator, folder=folder)
    kept = query(blank_database.admin, 'select \'"service"."one id"\'::regclass::oid as oid')
    write(folder, INDEX, INDEXES)

    assert await migrate.migrate(blank_database.migrator, folder=folder) == [INDEX]
    assert query(blank_database.admin, 'select \'"service"."one id"\'::regclass::oid as oid') == kept


async def test_the_line_that_failed_is_counted_in_the_whole_script(blank_database, folder):
    write(folder, INDEX, INDEXES + "\nselect\n  nothing")

    with pytest.raises(MigrationFailed, match='"nothing" does not exist') as failed:
        await migrate.migrate(blank_database.migrator, folder=folder)

    assert failed.value.line == 7


async def test_a_runner_that_loses_its_connection_in_a_build_can_be_started_again(blank_database, folder):
    await migrate.migrate(blank_database.migrator, folder=only(folder, "20260101000000_tables"))
    with psycopg.connect(blank_database.admin) as reader:
        reader.execute("select count(*) from service.one")
        reader.execute("lock table service.one in share mode")
        running = asyncio.create_task(migrate.migrate(blank_database.migrator, folder=folder))
        await until_a_build_waits(blank_database.admin)
        query(blank_database.admin, f"select pg_terminate_backend(pid) from pg_stat_activity where {BUILDS}")
        with pytest.raises((MigrationFailed, DatabaseUnavailable)):
            await running

    assert await state(blank_database.migrator, folder) is MigrationState.UNFINISHED
    assert await migrate.migrate(blank_database.migrator, folder=folder) == [INDEX]
    assert indexes(blank_database.admin) == {"one id": True, "two_id": True}


BUILDS = "query ilike 'create unique index%' and wait_event_type = 'Lock'"


async def until_a_build_waits(url: str) -> None:
    async def it_waits() -> bool:
        return bool(query(url, f"select pid from pg_stat_activity where {BUILDS}"))

    await until(it_waits, seconds=30)


def only(folder: Path, name: str) -> Path:
    """A folder beside, with one of the migrations."""
    other = folder.with_name(f"{folder.name}-only")
    other.mkdir()
    write(other, name, (folder / name / "migration.sql").read_text())
    return other


async def test_runners_that_wait_for_the_lock_do_not_stand_in_the_way_of_an_index(blank_database, folder):
    results = await asyncio.gather(
        *(migrate.migrate(blank_database.migrator, folder=folder) for _ in range(6))
    )

    assert sorted(map(len, results)) == [0, 0, 0, 0, 0, 2]


async def test_a_build_waits_for_transactions_longer_than_for_the_lock(blank_database, folder):
    async with migrate.owner_connection(blank_database.migrator, lock_timeout=0.05) as connection:
        async with migrate.patient(connection):
            inside = await (await connection.execute("show lock_timeout")).fetchone()
        after = await (await connection.execute("show lock_timeout")).fetchone()

    assert (inside["lock_timeout"], after["lock_timeout"]) == ("0", "50ms")


async def test_what_cannot_be_repeated_must_be_repaired_by_hand(blank_database, folder):
    write(folder, INDEX, "insert into service.one values (1), (1);" + INDEXES)
    with pytest.raises(MigrationFailed):
        await migrate.migrate(blank_database.migrator, folder=folder)

    with pytest.raises(MigrationUnfinished) as refused:
        await migrate.migrate(blank_database.migrator, folder=folder)
    with pytest.raises(MigrationUnfinished):
        await migrate.plan(blank_database.migrator, folder=folder)

    assert refused.value.migration == INDEX


async def test_a_plan_names_what_is_pending_tries_it_and_changes_nothing(blank_database, folder):
    assert [one.name for one in await migrate.plan(blank_database.migrator, folder=folder)] == [
        "20260101000000_tables",
        INDEX,
    ]
    assert query(blank_database.admin, "select to_regnamespace('service') as there")[0]["there"] is None

    await migrate.migrate(blank_database.migrator, folder=folder)
    assert await migrate.plan(blank_database.migrator, folder=folder) == []
    write(folder, "20260103000000_more", "create index concurrently two_more on service.two (id, id)")
    assert [one.name for one in await migrate.plan(blank_database.migrator, folder=folder)] == [
        "20260103000000_more"
    ]
    assert indexes(blank_database.admin) == {"one id": True, "two_id": True}


async def test_a_plan_finds_a_script_that_cannot_apply(blank_database, folder):
    await migrate.migrate(blank_database.migrator, folder=folder)
    write(folder, "20260103000000_bad", "alter table service.two\n  add column id int")

    with pytest.raises(MigrationFailed, match='column "id" of relation "two" already exists'):
        await migrate.plan(blank_database.migrator, folder=folder)
    assert await state(blank_database.migrator, folder) is MigrationState.APPLIED
