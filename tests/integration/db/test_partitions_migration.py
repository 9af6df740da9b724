"""A database from before partitions gets them without losing or changing a row."""

from __future__ import annotations

import shutil
import uuid

import psycopg
import pytest

from sba_db import MigrationFailed, migrate
from sba_db.check import check
from sba_db.verify_audit import verify_audit
from tests.integration.db.months import (
    PARTITIONED,
    content,
    month,
    partition,
    partitions_of,
    query,
    write_history,
)

NAME = "_partitions"
STRANGE = uuid.UUID("f0000000-0000-4000-8000-000000000000")


@pytest.fixture
def before(tmp_path):
    """The migrations from before."""
    for one in migrate.migrations_folder().glob("*/migration.sql"):
        if one.parent.name < next(migrate.migrations_folder().glob(f"*{NAME}")).name:
            shutil.copytree(one.parent, tmp_path / one.parent.name)
    return tmp_path


@pytest.fixture
async def old(blank_database, before):
    """An old database with rows of two tenants and several months, one with an id that tells no real time."""
    await migrate.migrate(blank_database.migrator, folder=before)
    for tenant in (uuid.uuid4(), uuid.uuid4()):
        write_history(blank_database.admin, tenant, start=month(-5), end=month(0, day=2), every=43_200.0)
    query(
        blank_database.admin,
        "insert into service.audit_logs (tenant_id, id, action, resource_type, resource_id)"
        " values (%s, %s, 'a', 'b', 'c')",
        (uuid.uuid4(), STRANGE),
    )
    return blank_database


async def test_an_old_database_keeps_every_row_as_it_was(old):
    before = content(old.admin)
    await migrate.migrate(old.migrator)

    assert content(old.admin) == before
    assert all(len(rows) > 100 for rows in before.values())
    assert await check(old.migrator) == []


async def test_rows_of_old_months_come_to_lie_in_partitions_of_theirs(old):
    await migrate.migrate(old.migrator)

    for table in PARTITIONED:
        names = [f"service.{partition(table, number)}" for number in range(-5, 4)]
        assert partitions_of(old.admin, table) == sorted([*names, f"service.{table}_default"])
        for number in range(-5, 1):
            assert query(old.admin, f"select count(*) from service.{partition(table, number)}")[0] > 0
    strays = {table: query(old.admin, f"select 1 from service.{table}_default") for table in PARTITIONED}
    assert {table: len(rows) for table, rows in strays.items() if rows} == {"audit_logs": 1}


async def test_audit_rows_are_sealed_once_and_verify_after_they_were_copied(old):
    query(old.admin, "delete from service.audit_pending")
    query(
        old.admin,
        "insert into service.audit_pending select tenant_id, id from service.audit_logs",
    )
    query(old.admin, "select service.seal_audit(null, 100000, 100000)")
    sealed = query(old.admin, "select count(*) from service.audit_seals")
    await migrate.migrate(old.migrator)

    found = []
    assert (await verify_audit(old.migrator, found.append)).seals == sealed[0]
    assert found == []
    assert query(old.admin, "select count(*) from service.audit_pending") == [0]


async def test_a_copy_that_would_see_no_rows_is_refused_and_nothing_is_lost(old, tmp_path_factory):
    blind = tmp_path_factory.mktemp("blind") / "migrations"
    shutil.copytree(migrate.migrations_folder(), blind)
    script = next(blind.glob(f"*{NAME}")) / "migration.sql"
    told = 'ALTER TABLE "service"."run_events" NO FORCE ROW LEVEL SECURITY;\n'
    assert told in script.read_text()
    script.write_text(script.read_text().replace(told, ""))
    before = content(old.admin)

    with pytest.raises(MigrationFailed, match="of run_events were copied"):
        await migrate.migrate(old.migrator, folder=blind)

    assert content(old.admin) == before


async def test_who_uses_the_tables_is_waited_for_only_so_long(old):
    with psycopg.connect(old.admin) as user:
        user.execute("select count(*) from service.agent_steps")
        async with migrate.owner_connection(old.migrator, lock_timeout=0.05) as connection:
            script = next(one for one in migrate.read_migrations() if one.name.endswith(NAME)).script
            with pytest.raises(psycopg.errors.LockNotAvailable):
                async with connection.transaction():
                    await connection.execute(script.encode())

    assert await migrate.migrate(old.migrator) != []
