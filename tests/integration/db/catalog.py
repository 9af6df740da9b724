"""What the catalog knows: which tables hold tenants' rows, and what a row of them looks like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from sba_db import new_id
from tests.fixtures.databases import Tenant

TENANT_TABLES = """
select n.nspname as schema, c.relname as name,
       (select array_agg(a.attname::text order by k.place)
        from pg_index i cross join unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where i.indrelid = c.oid and i.indisprimary) as key,
       (select array_agg(a.attname::text) from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
       (select a.attname::text from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        order by has_column_privilege('sba_app', c.oid, a.attnum, 'update') desc, a.attnum limit 1) as column,
       (select p.relname from pg_inherits h join pg_class p on p.oid = h.inhparent where h.inhrelid = c.oid)
           as part_of
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname !~ '^pg_'
  and exists (
      select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
  )
order by 1, 2
"""
COLUMNS = """
select a.attname as name, a.attnotnull and not a.atthasdef as needed, t.typname as type, t.typtype as kind,
       (select e.enumlabel from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder limit 1) as label
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  and a.attidentity = ''
order by a.attnum
"""
VALUES: dict[str, Any] = {
    "text": "x",
    "int4": 1,
    "int8": 1,
    "int2": 1,
    "numeric": 1,
    "float8": 1.0,
    "bool": True,
    "jsonb": Jsonb({}),
    "timestamptz": "2026-06-01T00:00:00Z",
    "bytea": b"\0" * 32,
}

Superuser = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of tenants' rows.

    Attributes:
        schema: Where it is.
        name: What it is called there.
        key: The columns of its primary key.
        columns: Those that can be given a value.
        column: One that the application may change, if it may any.
        part_of: The table it is a partition of.
    """

    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    column: str
    part_of: str | None

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def tenant_tables(superuser: Superuser) -> list[Table]:
    """Every table with a tenant, in whichever schema, partitions included."""
    found = [
        Table(**{**row, "key": tuple(row["key"] or ()), "columns": tuple(row["columns"])})
        for row in superuser.execute(TENANT_TABLES)
    ]
    assert found
    return found


def rows_of(superuser: Superuser, table: Table, tenant: Tenant) -> list[dict[str, Any]]:
    """The tenant's rows, with where each version of them lies: a write that changes nothing shows too."""
    query = sql.SQL(
        "select t.*, t.xmin::text as xmin_, t.ctid::text as ctid_, t.xmax::text as xmax_"
        " from {} t where t.tenant_id = %s order by t.ctid"
    )
    return superuser.execute(query.format(table.identifier), (tenant.id,)).fetchall()


def as_inserted(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """What one would have to insert for such a row."""
    return {column: row[column] for column in table.columns}


def row_for(superuser: Superuser, table: Table, tenant: Tenant) -> dict[str, Any]:
    """A row of the tenant's that is in the table, or could be in that partition."""
    whole = replace(table, name=table.part_of or table.name)
    rows = rows_of(superuser, table, tenant) or rows_of(superuser, whole, tenant)
    return as_inserted(table, rows[0])


def give_a_row(superuser: Superuser, table: Table, tenant: Tenant) -> None:
    """Put a made-up row of the tenant where the repositories have left none."""
    columns = superuser.execute(COLUMNS, (table.identifier.as_string(),)).fetchall()
    row = {
        one["name"]: made_up(one, tenant) for one in columns if one["needed"] or one["name"] == "tenant_id"
    }
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        table.identifier,
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() for _ in row),
    )
    with superuser.transaction():
        superuser.execute("set local session_replication_role = replica")
        superuser.execute(statement, list(row.values()))


def made_up(column: dict[str, Any], tenant: Tenant) -> Any:
    if column["name"] == "tenant_id":
        return tenant.id
    if column["type"] == "uuid":
        return new_id()
    return column["label"] if column["kind"] == "e" else VALUES[column["type"]]
