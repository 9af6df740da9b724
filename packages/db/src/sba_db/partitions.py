"""Partitions of a month each: which there are, and how they are made and dropped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from psycopg import sql

from sba_db.owner import OwnerConnection

TABLES: Final = MappingProxyType(
    {
        "agent_steps": "run_id",
        "audit_logs": "id",
        "run_events": "run_id",
        "tool_calls": "id",
        "usage_metrics": "period",
    }
)
"""What is partitioned, and the column that says which month a row is of."""

AHEAD: Final = 3
BATCH: Final = 10_000

MONTHS: Final = """
select m.month::date as month
from generate_series(
    date_trunc('month', now() at time zone 'UTC'),
    date_trunc('month', now() at time zone 'UTC') + make_interval(months => %(ahead)s), '1 month'
) m (month)
order by 1
"""
PARTITIONED: Final = """
select c.relname as name from pg_class c
where c.relnamespace = to_regnamespace('service') and c.relkind = 'p' and c.relname = any (%(tables)s)
"""
PARTITIONS: Final = """
select p.parent as "table", p.month, p.bytes from service.month_partitions() p
where p.parent = any (%(tables)s) order by p.month, p.parent
"""
ADD: Final = "select service.add_partition(%(table)s, %(month)s) as moved"
DROP: Final = sql.SQL("drop table service.{partition}")
STRAYS: Final = sql.SQL("""
select date_trunc('month', {moment} at time zone 'UTC')::date as month, count(*) as rows
from service.{default} d where d.{key} < {bound} group by 1 order by 1
""")
STRAY: Final = sql.SQL("""
select date_trunc('month', {moment} at time zone 'UTC')::date as month
from service.{default} d where d.{key} < {bound} limit 1
""")
TRIM: Final = sql.SQL("""
delete from service.{default} d where d.{key} < {bound} and d.ctid = any (array(
    select d.ctid from service.{default} d where d.{key} < {bound} limit %(batch)s
))
""")
FIRST_ID: Final = "select service.first_id_at(%(month)s::date::timestamp at time zone 'UTC') as id"
ANALYZE: Final = sql.SQL("analyze service.{table}")


@dataclass(frozen=True, slots=True)
class Partition:
    """The partition of a table that holds a month, in UTC.

    Attributes:
        table: The partitioned table.
        month: The month's first day.
        bytes: What it takes on disk, indexes included.
    """

    table: str
    month: date
    bytes: int = 0

    @property
    def name(self) -> str:
        """The partition's own name."""
        return f"{self.table}_{self.month:%Y_%m}"


async def listed(connection: OwnerConnection) -> list[Partition]:
    """The partitions that hold a month and are named for it, from old to new; no others."""
    rows = await (await connection.execute(PARTITIONS, {"tables": list(TABLES)})).fetchall()
    return [Partition(**row) for row in rows]


async def months(connection: OwnerConnection, ahead: int = AHEAD) -> list[date]:
    """This month by the database's clock, and as many after it."""
    rows = await (await connection.execute(MONTHS, {"ahead": ahead})).fetchall()
    return [row["month"] for row in rows]


async def missing(connection: OwnerConnection, ahead: int = AHEAD) -> list[Partition]:
    """The partitions of this month and those ahead that are not there; none where no table is partitioned."""
    tables = await (await connection.execute(PARTITIONED, {"tables": list(TABLES)})).fetchall()
    if not tables:
        return []
    there = {(one.table, one.month) for one in await listed(connection)}
    wanted = [(row["name"], month) for month in await months(connection, ahead) for row in tables]
    return [Partition(table, month) for table, month in sorted(wanted) if (table, month) not in there]


async def add(connection: OwnerConnection, partition: Partition) -> int:
    """Make a partition, and move into it what the default partition holds of its month; answer how many rows.

    While it runs, nobody reads or writes the default partition, or changes the table it refers to.

    Raises:
        psycopg.errors.LockNotAvailable: Others did not let go within the connection's lock timeout.
    """
    bound = {"table": partition.table, "month": partition.month}
    row = await (await connection.execute(ADD, bound)).fetchone()
    return (row and row["moved"]) or 0


async def drop(connection: OwnerConnection, partition: Partition) -> None:
    """Drop a partition with what it holds.

    Nobody reads or writes the table at that moment, which takes as long as changing the catalog.

    Raises:
        psycopg.errors.LockNotAvailable: Others did not let go within the connection's lock timeout.
    """
    await connection.execute(DROP.format(partition=sql.Identifier(partition.name)))


async def strays(connection: OwnerConnection, table: str, before: date) -> dict[date, int]:
    """How many rows the default partition holds of each month before one."""
    query = _on_default(STRAYS, table)
    rows = await (await connection.execute(query, {"before": before})).fetchall()
    return {row["month"]: row["rows"] for row in rows}


async def stray(connection: OwnerConnection, table: str, before: date) -> date | None:
    """A month before one of which the default partition holds a row; None if it holds none."""
    rows = await (await connection.execute(_on_default(STRAY, table), {"before": before})).fetchall()
    return rows[0]["month"] if rows else None


async def trim(connection: OwnerConnection, table: str, before: date) -> int:
    """Delete what the default partition holds of the months before one, in batches; answer how many rows."""
    query, gone = _on_default(TRIM, table), 0
    while deleted := (await connection.execute(query, {"before": before, "batch": BATCH})).rowcount:
        gone += deleted
    return gone


async def analyze(connection: OwnerConnection, table: str) -> None:
    """Gather the statistics of a partitioned table, which autovacuum never does."""
    await connection.execute(ANALYZE.format(table=sql.Identifier(table)))


def _on_default(query: sql.SQL, table: str) -> sql.Composed:
    key = sql.Identifier(TABLES[table])
    start = sql.SQL("(%(before)s::date::timestamp at time zone 'UTC')")
    of_ids = table != "usage_metrics"
    return query.format(
        default=sql.Identifier(f"{table}_default"),
        key=key,
        moment=sql.SQL("service.moment_of(d.{})" if of_ids else "d.{}").format(key),
        bound=sql.SQL("service.first_id_at({})" if of_ids else "{}").format(start),
    )
