"""Compares a database with schema.prisma, with what the migrations make, and with the rules of tenants."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sba_db import ledger
from sba_db.check import catalog, logins, months, objects, partitions, tables, tenancy
from sba_db.check.difference import Difference
from sba_db.migrate import rehearsed
from sba_db.models.tables import ENUMS, TABLES
from sba_db.owner import OwnerConnection, migration_lock, owner_connection
from sba_db.scripts import Migration, read_migrations

__all__ = ["Difference", "check"]

FULL_NAMES: Final = "select set_config('search_path', '', false)"
USUAL_NAMES: Final = "reset search_path"


async def check(
    url: str, *, folder: Path | None = None, rehearse: bool = True, lock_timeout: float = 10.0
) -> list[Difference]:
    """Everything about schema `service` that is not as it should be.

    Tables, columns, types, defaults, enumerations, keys, references and indexes are compared with
    schema.prisma, as this release was generated from it. What Prisma has no words for (checks, policies,
    triggers, functions, views, grants, owners, indexes over expressions or some rows) is compared with what
    the migrations make in a transaction that is rolled back. Partitions are looked at for row level security
    and for what they do not have from their table; the logins, for powers that no row level security holds.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.
        folder: The migrations, if not in this distribution.
        rehearse: Whether to run the migrations aside; without it nothing but SELECT is sent.
        lock_timeout: Longest wait for a lock, in seconds.

    Raises:
        UnsafeRole: The login may not act as `sba_owner`.
        MigrationFailed: The migrations do not apply to an empty schema.
        MigrationLocked: A migration is running.
        DatabaseUnavailable: Postgres is not reachable.
    """
    migrations = read_migrations(folder)
    async with owner_connection(url, lock_timeout=lock_timeout) as connection, migration_lock(connection):
        await connection.execute(FULL_NAMES)
        listed = ledger.statuses(migrations, await ledger.entries(connection))
        found = [Difference(one.name, f"migration is {one.state}") for one in listed if not one.settled]
        found += tables.compared(TABLES, ENUMS, await catalog.read(connection))
        found += await tenancy.broken_rules(connection)
        found += await partitions.on_their_own(connection)
        found += await logins.beyond_their_grants(connection)
        found += await months.forgotten(connection)
        return found + await _otherwise_made(connection, migrations) if rehearse else found


async def _otherwise_made(connection: OwnerConnection, migrations: list[Migration]) -> list[Difference]:
    there = await objects.read(connection)
    await connection.execute(USUAL_NAMES)
    async with rehearsed(connection, migrations):
        await connection.execute(FULL_NAMES)
        made = await objects.read(connection)
    return objects.compared(made, there)
