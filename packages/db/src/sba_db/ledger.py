"""Prisma's own record of what was applied, `service._prisma_migrations`, read and written without Prisma."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sba_db.errors import MigrationEdited, MigrationUnfinished
from sba_db.owner import OwnerConnection
from sba_db.scripts import Migration

LEDGER: Final = """
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
EXISTS: Final = "select to_regclass('service._prisma_migrations') is not null as there"
APPLIED: Final = """
select migration_name, checksum, finished_at is not null as finished
from service._prisma_migrations where rolled_back_at is null order by started_at
"""
STARTED: Final = "insert into service._prisma_migrations (id, checksum, migration_name) values (%s, %s, %s)"
FINISHED: Final = """
update service._prisma_migrations set finished_at = now(), applied_steps_count = 1 where id = %s
"""
FAILED: Final = "update service._prisma_migrations set logs = %s where id = %s"
GIVEN_UP: Final = """
update service._prisma_migrations set rolled_back_at = now()
where migration_name = %s and finished_at is null and rolled_back_at is null
"""


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

    @property
    def settled(self) -> bool:
        """Whether nothing is to be done about it here."""
        return self.state in {MigrationState.APPLIED, MigrationState.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger says of a migration."""

    checksum: str
    finished: bool


async def entries(connection: OwnerConnection) -> dict[str, Entry]:
    """The ledger by migration, in the order of application; empty where there is none yet."""
    there = await (await connection.execute(EXISTS)).fetchone()
    if not (there and there["there"]):
        return {}
    cursor = await connection.execute(APPLIED)
    return {row["migration_name"]: Entry(row["checksum"], row["finished"]) for row in await cursor.fetchall()}


def statuses(migrations: list[Migration], ledger: Mapping[str, Entry]) -> list[MigrationStatus]:
    """How each known or applied migration stands, by name."""
    unknown = ledger.keys() - {migration.name for migration in migrations}
    listed = [MigrationStatus(one.name, _state(one, ledger.get(one.name))) for one in migrations]
    listed += [MigrationStatus(name, MigrationState.UNKNOWN) for name in unknown]
    return sorted(listed, key=lambda one: one.name)


def pending(migrations: list[Migration], ledger: Mapping[str, Entry]) -> list[Migration]:
    """The migrations to apply, in order.

    Raises:
        MigrationUnfinished: An earlier attempt broke off that cannot simply be repeated.
        MigrationEdited: An applied file has changed.
    """
    repeatable = {migration.name for migration in migrations if migration.repeatable}
    for name, entry in ledger.items():
        if not entry.finished and name not in repeatable:
            raise MigrationUnfinished(name)
    for migration in migrations:
        if _state(migration, ledger.get(migration.name)) is MigrationState.EDITED:
            raise MigrationEdited(migration.name)
    finished = {name for name, entry in ledger.items() if entry.finished}
    return [migration for migration in migrations if migration.name not in finished]


async def start(connection: OwnerConnection, migration: Migration) -> str:
    """Enter a migration that begins, giving up an attempt that broke off, and answer the entry's id."""
    entry = str(uuid.uuid4())
    await connection.execute(GIVEN_UP, (migration.name,))
    await connection.execute(STARTED, (entry, migration.checksum, migration.name))
    return entry


def _state(migration: Migration, entry: Entry | None) -> MigrationState:
    if entry is None:
        return MigrationState.PENDING
    if not entry.finished:
        return MigrationState.UNFINISHED
    return MigrationState.APPLIED if entry.checksum in migration.checksums else MigrationState.EDITED
