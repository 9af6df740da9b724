"""The migration runner: once each, whole or not at all, one at a time, and never edited."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from sba_supabase import migrate as runner
from sba_supabase.cli import main
from sba_supabase.errors import (
    MigrationEdited,
    MigrationError,
    MigrationMisnamed,
    MigrationOutOfOrder,
    MigrationsMissing,
    MigrationStatementFailed,
)
from tests.integration.supabase.conftest import column

FIRST = "20300101000001_first.sql"
SECOND = "20300101000002_second.sql"
LEDGER = "supabase_migrations.schema_migrations"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / FIRST).write_text("create table public.one (id int);\ninsert into public.one values (1);\n")
    return tmp_path


@pytest.fixture
async def watcher(blank_database):
    async with await psycopg.AsyncConnection.connect(blank_database.admin, autocommit=True) as connection:
        yield connection


async def test_our_own_migrations_apply_once_and_in_order(blank_database, watcher):
    told: list[str] = []
    applied = await runner.migrate(blank_database.migrator, on_progress=told.append)
    assert applied == told == sorted(applied)
    assert applied[0] == "20261101000001_tenancy"
    assert await runner.migrate(blank_database.migrator) == []
    assert await column(watcher, f"select version || '_' || name from {LEDGER} order by 1") == applied


async def test_what_they_make_belongs_to_the_owner(blank_database, watcher):
    await runner.migrate(blank_database.migrator)
    owners = """
        select distinct relowner::regrole::text from pg_class
        where relnamespace::regnamespace::text in ('public', 'app', 'supabase_migrations')
    """
    assert await column(watcher, owners) == ["sba_owner"]


async def test_every_table_they_make_forces_its_policies(blank_database, watcher):
    await runner.migrate(blank_database.migrator)
    lax = """
        select oid::regclass::text from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
        and not (relrowsecurity and relforcerowsecurity)
    """
    assert await column(watcher, lax) == []


async def test_concurrent_migrators_apply_each_migration_once(blank_database, place):
    answers = await asyncio.gather(*(runner.migrate(blank_database.migrator, place=place) for _ in range(5)))
    assert sorted(map(len, answers)) == [0, 0, 0, 0, 1]


async def test_a_new_migration_is_applied_alone(blank_database, place, watcher):
    await runner.migrate(blank_database.migrator, place=place)
    (place / SECOND).write_text("insert into public.one values (2);")
    assert await runner.migrate(blank_database.migrator, place=place) == [SECOND.removesuffix(".sql")]
    assert await column(watcher, "select id from public.one order by 1") == [1, 2]


async def test_an_edited_migration_is_refused_and_nothing_else_applied(blank_database, place, watcher):
    await runner.migrate(blank_database.migrator, place=place)
    (place / FIRST).write_text("create table public.one (id bigint);")
    (place / SECOND).write_text("insert into public.one values (2);")
    with pytest.raises(MigrationEdited) as refused:
        await runner.migrate(blank_database.migrator, place=place)
    assert refused.value.version == FIRST.removesuffix(".sql")
    assert await column(watcher, "select id from public.one") == [1]


async def test_what_the_supabase_cli_recorded_statement_by_statement_is_not_edited(
    blank_database, place, watcher
):
    await runner.migrate(blank_database.migrator, place=place)
    split = ["create table public.one (id int)", "insert into public.one values (1)"]
    await watcher.execute(f"update {LEDGER} set statements = %s", [split])
    assert await runner.migrate(blank_database.migrator, place=place) == []
    await watcher.execute(f"update {LEDGER} set statements = null")
    assert await runner.migrate(blank_database.migrator, place=place) == []


async def test_migrations_of_the_project_itself_are_let_be(blank_database, place, watcher):
    await runner.migrate(blank_database.migrator, place=place)
    await watcher.execute(f"insert into {LEDGER} (version, name) values ('20990101000000', 'theirs')")
    (place / SECOND).write_text("select 1;")
    assert len(await runner.migrate(blank_database.migrator, place=place)) == 1


async def test_a_migration_older_than_an_applied_one_is_refused(blank_database, place):
    (place / SECOND).write_text("select 1;")
    first = (place / FIRST).read_text()
    (place / FIRST).unlink()
    await runner.migrate(blank_database.migrator, place=place)
    (place / FIRST).write_text(first)
    with pytest.raises(MigrationOutOfOrder) as refused:
        await runner.migrate(blank_database.migrator, place=place)
    assert refused.value.version == FIRST.removesuffix(".sql")


async def test_a_failing_migration_leaves_nothing_behind_and_can_be_mended(blank_database, place, watcher):
    (place / SECOND).write_text("create table public.two (id int); select 1 / 0;")
    with pytest.raises(MigrationStatementFailed) as failed:
        await runner.migrate(blank_database.migrator, place=place)
    assert (failed.value.version, failed.value.sqlstate) == (SECOND.removesuffix(".sql"), "22012")
    assert "division by zero" in str(failed.value)
    assert await column(watcher, "select to_regclass('public.two')") == [None]
    assert await column(watcher, f"select name from {LEDGER}") == ["first"]
    (place / SECOND).write_text("create table public.two (id int);")
    assert len(await runner.migrate(blank_database.migrator, place=place)) == 1


@pytest.mark.parametrize(
    "name", ["first.sql", "2030_first.sql", "20300101000002-second.sql", "20300101000001_other.sql"]
)
async def test_a_misnamed_file_is_refused_before_anything_is_applied(
    name: str, place, blank_database, watcher
):
    (place / name).write_text("select 1;")
    with pytest.raises(MigrationMisnamed) as refused:
        await runner.migrate(blank_database.migrator, place=place)
    assert refused.value.file in {name, FIRST}
    assert await column(watcher, "select to_regclass('public.one')") == [None]


def test_no_migrations_at_all_is_a_broken_package(tmp_path: Path):
    with pytest.raises(MigrationsMissing):
        runner.read_migrations(tmp_path)


def test_the_migrations_are_found_where_the_package_is():
    versions = [migration.version for migration in runner.read_migrations(runner.directory())]
    assert versions == sorted(set(versions))


def told(error: BaseException) -> str:
    """All that a traceback or a reporter could show of an error."""
    chain, text = error, ""
    while chain is not None:
        text += f"{chain} {chain!r} {chain.__dict__}"
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    return text


@pytest.mark.parametrize("unknown", ["login", "database"])
async def test_a_refused_connection_is_said_without_the_password(unknown: str, blank_database):
    name = blank_database.name
    login, database = ("nobody_at_all", name) if unknown == "login" else ("sba_migrator", f"{name}_not")
    url = blank_database.migrator.replace("sba_migrator:migrator-pw", f"{login}:hunter2").replace(
        name, database
    )
    with pytest.raises(MigrationError) as refused:
        await runner.migrate(url)
    assert "cannot connect" in str(refused.value)
    assert "hunter2" not in told(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://sba:hunter2@127.0.0.1:1/db",
        "postgresql://sba:hunter2@127.0.0.1:port/db",
        "postgresql://sba:hunter2%zz@127.0.0.1/db",
        "postgresql://sba:hunter2@127.0.0.1/db?nonsense=hunter2",
        "hunter2",
    ],
)
async def test_an_url_that_leads_nowhere_is_said_without_the_password(url: str):
    with pytest.raises(MigrationError) as refused:
        await runner.migrate(url)
    assert "hunter2" not in told(refused.value)


async def test_a_login_that_may_not_become_the_owner_is_told_so(blank_database):
    with pytest.raises(MigrationError, match="sba_owner"):
        await runner.migrate(blank_database.app)


async def test_a_database_that_is_not_bootstrapped_is_told_so(blank_database):
    with pytest.raises(MigrationError, match="bootstrapped"):
        await runner.migrate(blank_database.migrator.replace(f"/{blank_database.name}", "/postgres"))


async def test_by_another_role_the_schema_is_refused(watcher):
    tenancy = runner.read_migrations(runner.directory())[0]
    with pytest.raises(psycopg.Error, match="sba-supabase migrate"):
        await watcher.execute(tenancy.sql.encode())


async def test_the_platforms_roles_are_made_once_whoever_comes_first(engines, watcher):
    await asyncio.gather(*(runner.ensure_platform_roles(engines.admin_url) for _ in range(8)))
    roles = """
        select rolname, rolcanlogin, rolbypassrls, rolsuper from pg_roles
        where rolname in ('anon', 'authenticated', 'service_role') order by 1
    """
    cursor = await watcher.execute(roles)
    assert await cursor.fetchall() == [
        ("anon", False, False, False),
        ("authenticated", False, False, False),
        ("service_role", False, True, False),
    ]


async def test_a_login_that_may_not_make_roles_is_told_so(blank_database, watcher):
    await runner.ensure_platform_roles(blank_database.app)
    async with await psycopg.AsyncConnection.connect(blank_database.admin, autocommit=True) as admin:
        await admin.execute("alter role anon rename to anon_aside")
        try:
            with pytest.raises(MigrationError, match="platform"):
                await runner.ensure_platform_roles(blank_database.app)
        finally:
            await admin.execute("alter role anon_aside rename to anon")


def test_the_command_applies_and_says_so(blank_database):
    environment = {"SBA_MIGRATION_DATABASE_URL": blank_database.migrator}
    first = CliRunner().invoke(main, ["migrate"], env=environment)
    again = CliRunner().invoke(main, ["migrate"], env=environment)
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "applied 20261101000001_tenancy" in first.output
    assert again.output == "nothing to apply\n"


def test_the_command_fails_with_a_sentence(blank_database):
    result = CliRunner().invoke(
        main, ["migrate"], env={"SBA_MIGRATION_DATABASE_URL": "postgresql://a:hunter2@127.0.0.1:1/x"}
    )
    assert result.exit_code == 1
    assert "cannot connect" in result.output
    assert "hunter2" not in result.output


def test_the_command_asks_for_its_variable():
    result = CliRunner().invoke(main, ["migrate"], env={"SBA_MIGRATION_DATABASE_URL": ""})
    assert result.exit_code == 2
    assert "SBA_MIGRATION_DATABASE_URL" in result.output
