"""Development data: what two tenants have done, the same in every database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from psycopg import sql

from sba_db import ledger, partitions
from sba_db.errors import MigrationError
from sba_db.owner import OwnerConnection, migration_lock, owner_connection
from sba_db.partitions import Partition
from sba_db.scripts import read_migrations
from sba_db.seed.guard import require_development
from sba_db.seed.story import FIRST_DAY, RESIDENTS, Resident, health, history

__all__ = ["RESIDENTS", "Resident", "seed"]

ENTER: Final = "select set_config('app.tenant_id', %(tenant)s, true)"
INSERT: Final = sql.SQL("""
insert into service.{table} ({columns})
select {columns} from jsonb_populate_recordset(null::service.{table}, %(rows)s::jsonb)
on conflict do nothing
""")

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


async def seed(url: str, *, force: bool = False) -> dict[str, int]:
    """Add what is missing of the development data, all of it or nothing.

    Ids and times are fixed, rows that are there stay as they are, and nothing waits for a worker. Tenants,
    users and memberships are not of this schema: a development stack has the same two.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.
        force: Seed a database that does not look like one for development; not one that says it is none.

    Returns:
        How many rows were added to each table that got any.

    Raises:
        NotForDevelopment: Nothing was written.
        MigrationError: Migrations are pending, or another runner is at work.
        UnsafeRole: The login may not act as `sba_owner`.
        DatabaseUnavailable: Postgres is not reachable.
    """
    async with owner_connection(url) as connection, migration_lock(connection):
        await _require_migrated(connection)
        await require_development(connection, [one.tenant_id for one in RESIDENTS], force=force)
        for table in partitions.TABLES:
            await partitions.add(connection, Partition(table, FIRST_DAY.replace(day=1)))
        added: Counter[str] = Counter()
        async with connection.transaction():
            for resident in RESIDENTS:
                added += await _insert(connection, history(resident), resident.tenant_id)
            added += await _insert(connection, {"system_health": health()})
    return dict(added)


async def _require_migrated(connection: OwnerConnection) -> None:
    listed = ledger.statuses(read_migrations(), await ledger.entries(connection))
    waiting = next((one.name for one in listed if not one.settled), None)
    if waiting is not None:
        raise MigrationError(f"run `sba-db migrate` first: {waiting} is not applied", migration=waiting)


async def _insert(connection: OwnerConnection, rows: Rows, tenant: UUID | None = None) -> Counter[str]:
    if tenant is not None:
        await connection.execute(ENTER, {"tenant": str(tenant)})
    added: Counter[str] = Counter()
    for table, given in rows.items():
        columns = sql.SQL(", ").join(map(sql.Identifier, given[0]))
        statement = INSERT.format(table=sql.Identifier(table), columns=columns)
        cursor = await connection.execute(statement, {"rows": json.dumps(given)})
        added[table] += cursor.rowcount
    return added
