"""Applies Prisma migrations without Node, keeping Prisma's own ledger."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row

from sba_db.errors import MigrationEdited, MigrationFailed, MigrationLocked, MigrationUnfinished, UnsafeRole
from sba_db.failures import translate

PRISMA_LOCK: Final = 72707369
OWNER: Final = "sba_owner"

LEDGER = """
create schema if not exists service;
create table if not exists service._prisma_migrations (
    id varchar(36) primary key not null,
    checksum varchar(64) not null,
    finished_at timestamptz,
    migration_name varchar(255) not null,
    logs text,
    rolled_back_at timestamptz,
    started_at timestamptz not null default now(),
    applied_steps_count integer not null default 0
)
"""
LEDGER_EXISTS = "select to_regclass('service._prisma_migrations') is not null as there"
APPLIED = """
select migration_name, checksum, finished_at is not null as finished
from service._prisma_migrations where rolled_back_at is null order by started_at
"""
STARTED = "insert into service._prisma_migrations (id, checksum, migration_name) values (%s, %s, %s)"
FINISHED = "update service._prisma_migrations set finished_at = now(), applied_steps_count = 1 where id = %s"
FAILED = "update service._prisma_migrations set logs = %s where id = %s"

Progress = Callable[[str], None]
OwnerConnection = psycopg.AsyncConnection[dict[str, Any]]


class MigrationState(StrEnum):
    """How a migration stands in a database."""

    APPLIED = "applied"
    PENDING = "pending"
    EDITED = "edited"
    UNFINISHED = "unfinished"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """One migration and how it stands; UNKNOWN is one that a newer release has applied."""

    name: str
    state: MigrationState


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration folder's script, as written."""

    name: str
    script: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the script, as Prisma computes it."""
        return hashlib.sha256(self.script.encode()).hexdigest()

    @property
    def transactional(self) -> bool:
        """False for a script whose single statement cannot run in a transaction."""
        return re.search(r"(?im)^(?!\s*--).*\bconcurrently\b", self.script) is None


@dataclass(frozen=True, slots=True)
class _Entry:
    checksum: str
    finished: bool


def migrations_folder() -> Path:
    """Where the migrations are: inside the installed wheel, or beside the source in a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / "prisma" / "migrations"
    return installed if installed.is_dir() else here.parent.parent / "prisma" / "migrations"


def read_migrations(folder: Path | None = None) -> list[Migration]:
    """The migrations of a folder, in the order they apply."""
    scripts = sorted((folder or migrations_folder()).glob("*/migration.sql"))
    return [Migration(path.parent.name, path.read_bytes().decode()) for path in scripts]


@asynccontextmanager
async def owner_connection(url: str, *, lock_timeout: float = 10.0) -> AsyncIterator[OwnerConnection]:
    """An autocommit connection that acts as the owner of everything.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.
        lock_timeout: Longest wait for a lock, in seconds, so that a migration never queues traffic behind it.

    Raises:
        UnsafeRole: The login may not act as `sba_owner`.
        DatabaseUnavailable: Postgres is not reachable.
    """
    connection: OwnerConnection
    try:
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row)
    except psycopg.Error as error:
        raise translate(error) from None
    async with connection:
        try:
            await connection.execute(f"set role {OWNER}")
        except (pg.InsufficientPrivilege, pg.InvalidParameterValue):
            raise UnsafeRole(connection.info.user, f"cannot act as {OWNER}") from None
        settings = "select set_config('statement_timeout', '0', false), set_config('lock_timeout', %s, false)"
        await connection.execute(settings, (f"{round(lock_timeout * 1000)}ms",))
        yield connection


async def migrate(url: str, on_progress: Progress | None = None, *, folder: Path | None = None) -> list[str]:
    """Apply every migration that is not in the ledger, in order, one transaction each.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.
        on_progress: Called with each migration's name before it runs.
        folder: Where to look, if not in this distribution.

    Returns:
        The names applied now; empty when there was nothing to do.

    Raises:
        MigrationEdited: An applied file has changed; nothing was applied.
        MigrationUnfinished: An earlier attempt outside a transaction failed; nothing was applied.
        MigrationFailed: A script failed; those before it stay applied.
        MigrationLocked: Another runner did not finish in time.
    """
    migrations = read_migrations(folder)
    async with owner_connection(url) as connection, migration_lock(connection):
        await connection.execute(LEDGER)
        pending = _pending(migrations, await _ledger(connection))
        for migration in pending:
            if on_progress:
                on_progress(migration.name)
            await _apply(connection, migration)
    return [migration.name for migration in pending]


async def status(url: str, *, folder: Path | None = None) -> list[MigrationStatus]:
    """How each known or applied migration stands, without changing anything."""
    async with owner_connection(url) as connection:
        cursor = await connection.execute(LEDGER_EXISTS)
        row = await cursor.fetchone()
        ledger = await _ledger(connection) if row and row["there"] else {}
    known = read_migrations(folder)
    unknown = ledger.keys() - {migration.name for migration in known}
    stood = [MigrationStatus(one.name, _state(one, ledger.get(one.name))) for one in known]
    return sorted(
        [*stood, *(MigrationStatus(name, MigrationState.UNKNOWN) for name in unknown)],
        key=lambda one: one.name,
    )


@asynccontextmanager
async def migration_lock(connection: OwnerConnection) -> AsyncIterator[None]:
    """Hold the lock that Prisma's own runner takes too.

    Raises:
        MigrationLocked: Another runner did not let go within the connection's lock timeout.
    """
    try:
        await connection.execute("select pg_advisory_lock(%s)", (PRISMA_LOCK,))
    except pg.LockNotAvailable:
        raise MigrationLocked from None
    try:
        yield
    finally:
        if not connection.broken:
            await connection.execute("select pg_advisory_unlock(%s)", (PRISMA_LOCK,))


async def _ledger(connection: OwnerConnection) -> dict[str, _Entry]:
    cursor = await connection.execute(APPLIED)
    return {
        row["migration_name"]: _Entry(row["checksum"], row["finished"]) for row in await cursor.fetchall()
    }


def _state(migration: Migration, entry: _Entry | None) -> MigrationState:
    if entry is None:
        return MigrationState.PENDING
    if not entry.finished:
        return MigrationState.UNFINISHED
    return MigrationState.APPLIED if entry.checksum == migration.checksum else MigrationState.EDITED


def _pending(migrations: list[Migration], ledger: Mapping[str, _Entry]) -> list[Migration]:
    for name, entry in ledger.items():
        if not entry.finished:
            raise MigrationUnfinished(name)
    for migration in migrations:
        if _state(migration, ledger.get(migration.name)) is MigrationState.EDITED:
            raise MigrationEdited(migration.name)
    return [migration for migration in migrations if migration.name not in ledger]


async def _apply(connection: OwnerConnection, migration: Migration) -> None:
    entry = str(uuid.uuid4())
    try:
        if migration.transactional:
            async with connection.transaction():
                await _run(connection, migration, entry)
        else:
            await _run(connection, migration, entry)
    except psycopg.Error as error:
        reason = error.diag.message_primary or type(error).__name__
        if not migration.transactional and not connection.broken:
            await connection.execute(FAILED, (reason, entry))
        raise MigrationFailed(migration.name, reason=reason, line=_line(migration, error)) from None


async def _run(connection: OwnerConnection, migration: Migration, entry: str) -> None:
    await connection.execute(STARTED, (entry, migration.checksum, migration.name))
    await connection.execute(migration.script.encode())
    await connection.execute(FINISHED, (entry,))


def _line(migration: Migration, error: psycopg.Error) -> int | None:
    position = error.diag.statement_position
    return migration.script.count("\n", 0, int(position)) + 1 if position else None
