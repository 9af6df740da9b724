"""A session that explains each statement before it runs it, and what a plan says of tables and indexes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from sba_db.statements import parse

PARENTS = """
select c.relname::text as name, p.relname::text as parent
from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
where c.relnamespace = 'service'::regnamespace
"""
SCANS = {"Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan", "Seq Scan", "Tid Scan"}

Connection = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Scan:
    """One node that reads a table: through which index of the partitioned table, and of which partition."""

    table: str
    partition: str
    index: str | None


class Explainer:
    """Stands in for a session of the application's; everything it does is rolled back with its connection."""

    def __init__(self, connection: Connection, tenant: UUID, *, generic: bool) -> None:
        self.tenant_id = tenant
        self.scans: list[Scan] = []
        self._connection = connection
        self._parents = {row["name"]: row["parent"] for row in connection.execute(PARENTS)}
        mode = "force_generic_plan" if generic else "force_custom_plan"
        connection.execute("select set_config('app.tenant_id', %s, true)", (str(tenant),))
        connection.execute("select set_config('plan_cache_mode', %s, true)", (mode,))

    async def fetch_all(self, query: LiteralString, params: Any = None) -> list[dict[str, Any]]:
        return self._run(query, params).fetchall()

    async def fetch_one(self, query: LiteralString, params: Any = None) -> dict[str, Any] | None:
        return self._run(query, params).fetchone()

    async def execute(self, query: LiteralString, params: Any = None) -> int:
        return self._run(query, params).rowcount

    async def system(
        self, query: LiteralString, params: Any = None, *, write: bool = False
    ) -> list[dict[str, Any]]:
        return self._run(query, params).fetchall()

    def touched(self) -> dict[str, int]:
        """How many partitions each index was read in; a table read without one counts under its name."""
        found: dict[str, set[str]] = {}
        for scan in self.scans:
            found.setdefault(scan.index or f"all of {scan.table}", set()).add(scan.partition)
        return {index: len(partitions) for index, partitions in found.items()}

    def _run(self, query: LiteralString, params: Any) -> psycopg.Cursor[dict[str, Any]]:
        values = {"tenant": self.tenant_id, **(params or {})}
        statement = parse(query)
        given = sql.SQL(", ").join(sql.Literal(values[name]) for name in statement.names)
        execute = sql.SQL("execute explained ({})" if statement.names else "execute explained").format(given)
        self._connection.execute(b"prepare explained as " + statement.sql)
        with self._connection.transaction(force_rollback=True):
            explain = sql.SQL("explain (analyze, timing off, format json) {}").format(execute)
            plan = self._connection.execute(explain).fetchall()[0]["QUERY PLAN"][0]["Plan"]
        self.scans += self._scans(plan)
        cursor = self._connection.execute(execute)
        self._connection.execute("deallocate explained")
        return cursor

    def _scans(self, node: dict[str, Any], table: str = "") -> Iterator[Scan]:
        name = node.get("Relation Name", table)
        if node["Node Type"] in SCANS and node["Actual Loops"] and node["Node Type"] != "Bitmap Heap Scan":
            index = node.get("Index Name")
            yield Scan(self._parents.get(name, name), name, self._parents.get(index, index))
        for child in node.get("Plans", ()):
            yield from self._scans(child, name)
