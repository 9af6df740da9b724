"""The Supabase-side migrations, applied without the Supabase CLI and recorded in its ledger."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import kwargs_row

from sba_supabase.errors import (
    MigrationEdited,
    MigrationError,
    MigrationMisnamed,
    MigrationOutOfOrder,
    MigrationsMissing,
    MigrationStatementFailed,
)

OWNER: Final = "sba_owner"
LOCK: Final = 7_284_113_906_518_245_001

_BECOME_OWNER: Final[LiteralString] = """
set role sba_owner;
set search_path = public, extensions;
set lock_timeout = '10s';
set client_min_messages = warning;
"""
_TAKE_LOCK: Final[LiteralString] = "select pg_advisory_lock(%s)"
_LEDGER: Final[LiteralString] = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
_APPLIED: Final[LiteralString] = "select version, statements from supabase_migrations.schema_migrations"
_RECORD: Final[LiteralString] = """
insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)
"""
_FILE: Final = re.compile(r"(?P<version>\d{14})_(?P<name>[a-z0-9_]+)\.sql")
_INSIGNIFICANT: Final = re.compile(r"[\s;]+")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file.

    Attributes:
        version: its 14 digits, which order it.
        name: the rest of the file's name.
        sql: its text.
    """

    version: str
    name: str
    sql: str

    @property
    def title(self) -> str:
        """Version and name, as the file is called."""
        return f"{self.version}_{self.name}"

    def was(self, statements: Sequence[str] | None) -> bool:
        """Whether the ledger's statements are this text; None were recorded by a tool that keeps none.

        The Supabase CLI stores a file statement by statement and without its semicolons.
        """
        return statements is None or _significant("".join(statements)) == _significant(self.sql)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the ledger."""

    version: str
    statements: list[str] | None


def _significant(sql: str) -> str:
    return _INSIGNIFICANT.sub("", sql)


def directory() -> Path:
    """Where the migrations are: in the installed package, or in the source checkout.

    Raises:
        MigrationsMissing: in neither.
    """
    installed = Path(str(resources.files("sba_supabase"))) / "migrations"
    checkout = Path(__file__).parents[2] / "supabase" / "migrations"
    for place in (installed, checkout):
        if place.is_dir():
            return place
    raise MigrationsMissing


def read_migrations(place: Path) -> list[Migration]:
    """The migrations of a directory, oldest first.

    Raises:
        MigrationMisnamed: a file has no version, or that of another.
        MigrationsMissing: there are none.
    """
    found: dict[str, Migration] = {}
    for file in sorted(place.glob("*.sql")):
        match = _FILE.fullmatch(file.name)
        if match is None or match["version"] in found:
            raise MigrationMisnamed(file.name)
        found[match["version"]] = Migration(match["version"], match["name"], file.read_text("utf-8"))
    if not found:
        raise MigrationsMissing
    return list(found.values())


def pending(migrations: Sequence[Migration], applied: Mapping[str, Sequence[str] | None]) -> list[Migration]:
    """The migrations still to apply; versions in the ledger that are not ours are the project's own.

    Raises:
        MigrationEdited: an applied one has changed since.
        MigrationOutOfOrder: one to apply is older than one of ours already applied.
    """
    waiting: list[Migration] = []
    for migration in migrations:
        if migration.version not in applied:
            waiting.append(migration)
        elif not migration.was(applied[migration.version]):
            raise MigrationEdited(migration.title)
        elif waiting:
            raise MigrationOutOfOrder(waiting[0].title)
    return waiting


def _reason(error: psycopg.Error, url: str) -> str:
    """What Postgres said, without the password."""
    said = error.diag.message_primary or str(error).strip() or type(error).__name__
    try:
        password = conninfo_to_dict(url).get("password")
    except psycopg.Error:
        return "the URL is not a valid Postgres URL"
    return said.replace(str(password), "***") if password else said


async def _connect(url: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    try:
        return await psycopg.AsyncConnection.connect(url, autocommit=True)
    except psycopg.Error as error:
        reason = _reason(error, url)
    raise MigrationError(f"cannot connect: {reason}")


@asynccontextmanager
async def _locked_owner(url: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[object, ...]]]:
    """A connection as the owner, alone in migrating; the lock goes with the connection."""
    async with await _connect(url) as connection:
        try:
            await connection.execute(_BECOME_OWNER)
            await connection.execute(_TAKE_LOCK, [LOCK])
            await connection.execute(_LEDGER)
        except psycopg.Error as error:
            reason = _reason(error, url)
            raise MigrationError(
                f"cannot migrate as {OWNER} (is the database bootstrapped?): {reason}"
            ) from None
        yield connection


async def _applied(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> dict[str, list[str] | None]:
    async with psycopg.AsyncCursor(connection, row_factory=kwargs_row(_Entry)) as cursor:
        await cursor.execute(_APPLIED)
        return {entry.version: entry.statements for entry in await cursor.fetchall()}


async def _apply(
    connection: psycopg.AsyncConnection[tuple[object, ...]], migration: Migration, url: str
) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql.encode())
            await connection.execute(_RECORD, [migration.version, migration.name, [migration.sql]])
    except psycopg.Error as error:
        sqlstate, reason = error.sqlstate, _reason(error, url)
        raise MigrationStatementFailed(migration.title, sqlstate, reason) from None


async def migrate(url: str, *, on_progress: Progress | None = None, place: Path | None = None) -> list[str]:
    """Apply the migrations that are missing, each in a transaction of its own, one migrator at a time.

    Args:
        url: the migrator's login, which may become `sba_owner`.
        on_progress: told the title of each migration once it is applied.
        place: where the migrations are, where not in this package.

    Returns:
        The titles of those applied now, in order.

    Raises:
        MigrationError: nothing, or everything before the failed migration, was applied. It never shows the
            password.
    """
    migrations = read_migrations(place or directory())
    async with _locked_owner(url) as connection:
        waiting = pending(migrations, await _applied(connection))
        for migration in waiting:
            await _apply(connection, migration, url)
            if on_progress is not None:
                on_progress(migration.title)
    return [migration.title for migration in waiting]


async def ensure_platform_roles(admin_url: str) -> None:
    """Create the roles `anon`, `authenticated` and `service_role` where the server is no Supabase project.

    Args:
        admin_url: a login that may create roles.

    Raises:
        MigrationError: it cannot. Never shows the password.
    """
    roles = resources.files("sba_supabase").joinpath("stand_in_roles.sql").read_bytes()
    async with await _connect(admin_url) as connection:
        try:
            await connection.execute(roles)
        except psycopg.Error as error:
            raise MigrationError(f"cannot create the platform's roles: {_reason(error, admin_url)}") from None
