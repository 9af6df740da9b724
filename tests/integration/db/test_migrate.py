"""Migrations: applied once, in order, with a ledger that Prisma understands; nothing edited or half done."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.rows import dict_row

from sba_db import (
    BootstrapFailed,
    DatabaseUnavailable,
    MigrationEdited,
    MigrationFailed,
    MigrationLocked,
    UnsafeRole,
    bootstrap,
    migrate,
)
from sba_db.cli import main
from sba_db.migrate import PRISMA_LOCK, MigrationState
from tests.fixtures.databases import PASSWORDS, Urls

LEDGER = """
select migration_name, checksum, applied_steps_count, logs, length(id) as id,
       finished_at is not null as finished
from service._prisma_migrations order by migration_name
"""


def query(url: str, statement: str, params=()):
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        cursor = connection.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "20260101000000_one", "create table service.one (id int)")
    write(
        tmp_path,
        "20260102000000_two",
        "create table service.two (id int);\ninsert into service.one values (1);",
    )
    return tmp_path


def write(folder: Path, name: str, script: str) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "migration.sql").write_text(script)


def tables(urls: Urls) -> set[str]:
    found = query(
        urls.admin,
        "select relname from pg_class where relnamespace = 'service'::regnamespace and relkind = 'r'",
    )
    return {row["relname"] for row in found} - {"_prisma_migrations"}


async def test_the_shipped_migrations_apply_to_an_empty_database_once(blank_database):
    progress: list[migrate.Progress] = []
    first = await migrate.migrate(blank_database.migrator, progress.append)
    second = await migrate.migrate(blank_database.migrator)

    names = [one.name for one in migrate.read_migrations()]
    assert first == [one.migration for one in progress if one.seconds is not None] == names
    assert second == []
    assert {one.state for one in await migrate.status(blank_database.migrator)} == {MigrationState.APPLIED}


async def test_the_ledger_is_prismas_own(blank_database, folder):
    await migrate.migrate(blank_database.migrator, folder=folder)
    rows = query(blank_database.admin, LEDGER)

    script = (folder / "20260101000000_one" / "migration.sql").read_bytes()
    assert rows[0]["checksum"] == hashlib.sha256(script).hexdigest()
    assert [(row["applied_steps_count"], row["finished"], row["id"]) for row in rows] == [(1, True, 36)] * 2


async def test_status_changes_nothing_and_names_what_is_pending(blank_database, folder):
    listed = await migrate.status(blank_database.migrator, folder=folder)

    assert [one.state for one in listed] == [MigrationState.PENDING] * 2
    assert query(blank_database.admin, "select to_regnamespace('service') as there")[0]["there"] is None


async def test_an_edited_migration_is_refused_before_anything_is_applied(blank_database, folder):
    await migrate.migrate(blank_database.migrator, folder=folder)
    write(folder, "20260101000000_one", "create table service.one (id bigint)")
    write(folder, "20260103000000_three", "create table service.three (id int)")

    with pytest.raises(MigrationEdited) as refused:
        await migrate.migrate(blank_database.migrator, folder=folder)

    assert refused.value.migration == "20260101000000_one"
    assert tables(blank_database) == {"one", "two"}
    listed = await migrate.status(blank_database.migrator, folder=folder)
    assert [one.state for one in listed] == [
        MigrationState.EDITED,
        MigrationState.APPLIED,
        MigrationState.PENDING,
    ]


@pytest.mark.parametrize(("applied", "checked_out"), [("\n", "\r\n"), ("\r\n", "\n")])
async def test_a_checkout_with_other_line_ends_has_edited_nothing(
    blank_database, tmp_path, applied, checked_out
):
    script = "-- one\ncreate table service.one (\n  id int\n);\n"
    for ends in (applied, checked_out):
        (tmp_path / "20260101000000_one").mkdir(exist_ok=True)
        (tmp_path / "20260101000000_one" / "migration.sql").write_bytes(script.replace("\n", ends).encode())
        await migrate.migrate(blank_database.migrator, folder=tmp_path)

        listed = await migrate.status(blank_database.migrator, folder=tmp_path)
        assert [one.state for one in listed] == [MigrationState.APPLIED]


async def test_a_failed_migration_leaves_nothing_and_can_be_tried_again_once_repaired(blank_database, folder):
    write(folder, "20260103000000_bad", "create table service.bad (id int);\n\nselect nothing;\n")

    with pytest.raises(MigrationFailed) as failed:
        await migrate.migrate(blank_database.migrator, folder=folder)

    assert (failed.value.migration, failed.value.line) == ("20260103000000_bad", 3)
    assert 'column "nothing" does not exist' in failed.value.reason
    assert tables(blank_database) == {"one", "two"}
    write(folder, "20260103000000_bad", "create table service.good (id int);")
    assert await migrate.migrate(blank_database.migrator, folder=folder) == ["20260103000000_bad"]


async def test_a_migration_of_a_newer_release_does_not_stop_an_older_one(
    blank_database, folder, tmp_path_factory
):
    await migrate.migrate(blank_database.migrator, folder=folder)
    older = tmp_path_factory.mktemp("older")
    write(older, "20260101000000_one", "create table service.one (id int)")

    assert await migrate.migrate(blank_database.migrator, folder=older) == []
    assert [one.state for one in await migrate.status(blank_database.migrator, folder=older)] == [
        MigrationState.APPLIED,
        MigrationState.UNKNOWN,
    ]


async def test_concurrent_runners_apply_each_migration_once(blank_database, folder):
    results = await asyncio.gather(
        *(migrate.migrate(blank_database.migrator, folder=folder) for _ in range(6))
    )

    assert sorted(map(len, results)) == [0, 0, 0, 0, 0, 2]


async def test_a_runner_does_not_wait_for_ever_for_another(blank_database, folder):
    async with migrate.owner_connection(blank_database.migrator) as rival:
        await rival.execute("select pg_advisory_lock(%s)", (PRISMA_LOCK,))
        async with migrate.owner_connection(blank_database.migrator, lock_timeout=0.05) as connection:
            with pytest.raises(MigrationLocked):
                async with migrate.migration_lock(connection):
                    pass


async def test_only_the_migrator_may_act_as_the_owner(blank_database):
    for url in (blank_database.app, blank_database.worker):
        with pytest.raises(UnsafeRole):
            await migrate.migrate(url)
    with pytest.raises(DatabaseUnavailable):
        await migrate.migrate("postgresql://sba_migrator@127.0.0.1:9/none")


async def test_the_migrator_is_bound_by_row_level_security_like_everyone(database_urls, a):
    async with migrate.owner_connection(database_urls.migrator) as connection:
        cursor = await connection.execute("update service.agent_runs set prompt = 'x'")
        assert cursor.rowcount == 0


async def test_bootstrap_is_safe_to_repeat_and_to_run_twice_at_once(engines, blank_database):
    again = [
        bootstrap.bootstrap(engines.admin_url, database=blank_database.name, passwords=PASSWORDS)
        for _ in range(4)
    ]
    await asyncio.gather(*again)

    found = query(
        blank_database.admin,
        "select extname from pg_extension where extnamespace = 'extensions'::regnamespace order by 1",
    )
    assert [row["extname"] for row in found] == ["pg_trgm", "unaccent", "vector"]
    owner = query(
        blank_database.admin,
        "select pg_get_userbyid(datdba) as o from pg_database where datname = current_database()",
    )
    assert owner[0]["o"] == "sba_owner"


async def test_bootstrap_makes_logins_without_any_power(blank_database):
    roles = query(
        blank_database.admin,
        "select rolname, rolcanlogin as login,"
        " rolsuper or rolbypassrls or rolcreaterole or rolcreatedb as power"
        " from pg_roles where rolname like 'sba\\_%%' order by 1",
        (),
    )

    ours = {row["rolname"]: (row["power"], row["login"]) for row in roles}
    assert {name: ours[name] for name in ("sba_app", "sba_migrator", "sba_owner", "sba_worker")} == {
        "sba_app": (False, True),
        "sba_migrator": (False, True),
        "sba_owner": (False, False),
        "sba_worker": (False, True),
    }


async def test_the_application_can_neither_create_nor_see_anything_on_its_own(database_urls):
    for statement in (
        "create table public.mine (id int)",
        "create schema mine",
        "create table service.mine (id int)",
        "set role sba_owner",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            query(database_urls.app, f"set transaction_read_only = off; {statement}")


async def test_bootstrap_by_someone_who_may_not_is_refused_with_the_reason(blank_database):
    with pytest.raises(BootstrapFailed, match="permission denied"):
        await bootstrap.bootstrap(blank_database.app, database=blank_database.name, passwords=PASSWORDS)
    with pytest.raises(DatabaseUnavailable):
        await bootstrap.bootstrap("postgresql://x@127.0.0.1:9/x", database="x", passwords=PASSWORDS)


def test_the_command_line_bootstraps_migrates_and_reports(engines, blank_database):
    run = CliRunner().invoke
    environment = {
        "SBA_ADMIN_DATABASE_URL": engines.admin_url,
        "SBA_MIGRATION_DATABASE_URL": blank_database.migrator,
        "SBA_MIGRATOR_PASSWORD": PASSWORDS.migrator,
        "SBA_APP_PASSWORD": PASSWORDS.app,
        "SBA_WORKER_PASSWORD": PASSWORDS.worker,
    }
    ready = run(main, ["bootstrap", "--database", blank_database.name], env=environment)
    before = run(main, ["status"], env=environment)
    first = run(main, ["migrate"], env=environment)
    second = run(main, ["migrate"], env=environment)
    after = run(main, ["status"], env=environment)

    assert (ready.exit_code, before.exit_code, first.exit_code, second.exit_code, after.exit_code) == (
        0,
        1,
        0,
        0,
        0,
    )
    assert "pending    20261101000000_init" in before.output
    assert "] 20261101000000_init applied in " in first.output
    assert "nothing to apply" in second.output
    assert "applied    20261101000000_init" in after.output


def test_the_command_line_says_what_is_wrong_without_the_password():
    unreachable = CliRunner().invoke(main, ["migrate", "--url", "postgresql://u:hunter2@127.0.0.1:9/none"])
    missing = CliRunner().invoke(main, ["migrate"], env={"SBA_MIGRATION_DATABASE_URL": ""})

    assert unreachable.exit_code == 1
    assert "hunter2" not in unreachable.output
    assert missing.exit_code == 2
    assert "SBA_MIGRATION_DATABASE_URL" in missing.output
