"""Applies Prisma migrations without Node, keeping Prisma's own ledger."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psycopg

from sba_db import ledger, partitions
from sba_db.errors import MigrationFailed
from sba_db.ledger import MigrationState, MigrationStatus
from sba_db.owner import PRISMA_LOCK, OwnerConnection, migration_lock, owner_connection, patient
from sba_db.scripts import IndexBuild, Migration, ScriptStatement, migrations_folder, read_migrations

__all__ = [
    "PRISMA_LOCK",
    "Migration",
    "MigrationState",
    "MigrationStatus",
    "OwnerConnection",
    "Progress",
    "migrate",
    "migration_lock",
    "migrations_folder",
    "owner_connection",
    "patient",
    "plan",
    "read_migrations",
    "rehearsed",
    "status",
]

STANDING: Final = """
select i.indisvalid as valid, i.indexrelid::regclass::text as name
from pg_index i join pg_class c on c.oid = i.indexrelid
where c.relname = %s and i.indrelid = to_regclass(%s)
"""
MADE_BEFORE: Final = "select to_regnamespace('service') is not null as there"
ASIDE: Final = "alter schema service rename to service_as_it_is"


@dataclass(frozen=True, slots=True)
class Progress:
    """A migration that begins, goes on or has ended.

    Attributes:
        migration: Its name.
        number: Its place among those of this run, from 1.
        total: How many this run applies.
        note: What is being done now; empty when the migration begins or has ended.
        seconds: How long it took; None until it has ended.
    """

    migration: str
    number: int
    total: int
    note: str = ""
    seconds: float | None = None

    def __str__(self) -> str:
        """One line for a person."""
        took = "" if self.seconds is None else f" applied in {self.seconds:.2f} s"
        return f"[{self.number}/{self.total}] {self.migration}{took}{self.note and f': {self.note}'}"


OnProgress = Callable[[Progress], None]
Note = Callable[[str], None]


async def migrate(
    url: str,
    on_progress: OnProgress | None = None,
    *,
    folder: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Apply every migration that is not in the ledger, in order.

    Each runs in one transaction, but one with a statement that cannot: that runs statement by statement. If
    it only builds or drops indexes concurrently and breaks off, the next run repeats it, and replaces the
    invalid index that was left.

    Afterwards the partitioned tables have this month and those ahead, so that a new database can be used.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.
        on_progress: Told as each migration begins, goes on and ends.
        folder: Where to look, if not in this distribution.
        clock: Seconds, for the durations told.

    Returns:
        The names applied now; empty when there was nothing to do.

    Raises:
        MigrationEdited: An applied file has changed; nothing was applied.
        MigrationUnfinished: An earlier attempt outside a transaction failed; nothing was applied.
        MigrationFailed: A script failed; those before it stay applied.
        MigrationLocked: Another runner did not finish in time.
    """
    tell = on_progress or (lambda _: None)
    async with owner_connection(url) as connection, migration_lock(connection):
        await connection.execute(ledger.LEDGER)
        pending = ledger.pending(read_migrations(folder), await ledger.entries(connection))
        for number, migration in enumerate(pending, 1):
            begun = Progress(migration.name, number, len(pending))
            tell(begun)
            started = clock()
            await _apply(connection, migration, _notes(tell, begun))
            tell(replace(begun, seconds=clock() - started))
        for partition in await partitions.missing(connection):
            await partitions.add(connection, partition)
    return [migration.name for migration in pending]


async def plan(url: str, *, folder: Path | None = None) -> list[Migration]:
    """What `migrate` would apply, changing nothing, and tried: all migrations run on tables made aside.

    Nothing anybody else uses is locked or changed. What depends on the rows that are there is not tried.

    Raises:
        MigrationEdited: An applied file has changed.
        MigrationUnfinished: An earlier attempt outside a transaction failed.
        MigrationFailed: A script fails even on empty tables.
        MigrationLocked: Another runner did not finish in time.
    """
    migrations = read_migrations(folder)
    async with owner_connection(url) as connection, migration_lock(connection):
        pending = ledger.pending(migrations, await ledger.entries(connection))
        if pending:
            async with rehearsed(connection, migrations):
                pass
    return pending


async def status(url: str, *, folder: Path | None = None) -> list[MigrationStatus]:
    """How each known or applied migration stands, without changing anything."""
    async with owner_connection(url) as connection:
        return ledger.statuses(read_migrations(folder), await ledger.entries(connection))


@asynccontextmanager
async def rehearsed(connection: OwnerConnection, migrations: list[Migration]) -> AsyncIterator[None]:
    """Inside, schema `service` is what the migrations make of nothing; afterwards all is as it was.

    It is one transaction, rolled back: the schema is renamed for this connection alone, and no lock is taken
    on its tables.

    Raises:
        MigrationFailed: A script failed.
    """
    async with connection.transaction(force_rollback=True):
        before = await (await connection.execute(MADE_BEFORE)).fetchone()
        if before and before["there"]:
            await connection.execute(ASIDE)
        for migration in migrations:
            try:
                await connection.execute(migration.rehearsal.encode())
            except psycopg.Error as error:
                raise _failure(migration, error) from None
        yield


def _notes(tell: OnProgress, begun: Progress) -> Note:
    return lambda text: tell(replace(begun, note=text))


async def _apply(connection: OwnerConnection, migration: Migration, note: Note) -> None:
    if not migration.transactional:
        await _apply_by_statement(connection, migration, note)
        return
    try:
        async with connection.transaction():
            entry = await ledger.start(connection, migration)
            await connection.execute(migration.script.encode())
            await connection.execute(ledger.FINISHED, (entry,))
    except psycopg.Error as error:
        raise _failure(migration, error) from None


async def _apply_by_statement(connection: OwnerConnection, migration: Migration, note: Note) -> None:
    entry = await ledger.start(connection, migration)
    async with patient(connection):
        for statement in migration.statements:
            try:
                await _run(connection, statement, note)
            except psycopg.Error as error:
                failure = _failure(migration, error, statement)
                if not connection.broken:
                    await connection.execute(ledger.FAILED, (failure.reason, entry))
                raise failure from None
    await connection.execute(ledger.FINISHED, (entry,))


async def _run(connection: OwnerConnection, statement: ScriptStatement, note: Note) -> None:
    build = statement.index_build
    if build and await _already_built(connection, build, note):
        return
    note(" ".join(statement.text.split()))
    await connection.execute(statement.text.encode())


async def _already_built(connection: OwnerConnection, build: IndexBuild, note: Note) -> bool:
    standing = await (await connection.execute(STANDING, (build.name, build.table))).fetchone()
    if standing is None:
        return False
    if standing["valid"]:
        note(f"{build.name} is already there")
        return True
    note(f"dropping {build.name}, which an earlier attempt left invalid")
    await connection.execute(f"drop index concurrently {standing['name']}".encode())
    return False


def _failure(
    migration: Migration, error: psycopg.Error, statement: ScriptStatement | None = None
) -> MigrationFailed:
    reason = error.diag.message_primary or type(error).__name__
    text, first = (statement.text, statement.line) if statement else (migration.script, 1)
    position = error.diag.statement_position
    line = text.count("\n", 0, int(position)) + first if position else None
    return MigrationFailed(migration.name, reason=reason, line=line)
