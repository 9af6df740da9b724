"""Reads the tables and enumerations of schema `service` out of Postgres's catalog."""
# ruff: noqa: S608 - composed of this module's own constants

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sba_db.models.shape import Column, Index, Reference, Table
from sba_db.owner import OwnerConnection

OURS: Final = """
c.relnamespace = to_regnamespace('service') and c.relkind in ('r', 'p')
and not c.relispartition and c.relname <> '_prisma_migrations'
"""
COLUMNS: Final = f"""
select c.relname as "table", a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
       not a.attnotnull as nullable,
       case when a.attidentity <> '' then 'autoincrement'
            when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end as "default"
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where {OURS} order by c.relname, a.attnum
"""
INDEXES: Final = f"""
select c.relname as "table", ic.relname as name, i.indisprimary as is_primary, i.indisunique as is_unique,
       i.indisvalid as valid, i.indpred is not null or i.indexprs is not null as special, am.amname as method,
       array(select a.attname || case when i.indoption[k - 1] & 1 = 1 then ' desc' else '' end
             from generate_series(1, i.indnkeyatts) k
             join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[k - 1] order by k) as columns
from pg_class c join pg_index i on i.indrelid = c.oid join pg_class ic on ic.oid = i.indexrelid
join pg_am am on am.oid = ic.relam
where {OURS} order by c.relname, ic.relname
"""
REFERENCES: Final = f"""
select c.relname as "table", r.relname as other, k.convalidated as valid,
       k.confdeltype as on_delete, k.confupdtype as on_update, k.conname as name,
       array(select a.attname::text from unnest(k.conkey) with ordinality u(n, o)
             join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.n order by u.o) as columns,
       array(select a.attname::text from unnest(k.confkey) with ordinality u(n, o)
             join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.n order by u.o) as target
from pg_class c join pg_constraint k on k.conrelid = c.oid and k.contype = 'f' and k.conparentid = 0
join pg_class r on r.oid = k.confrelid
where {OURS} order by c.relname, k.conname
"""
ENUMS: Final = """
select t.typname as name, array_agg(e.enumlabel::text order by e.enumsortorder) as labels
from pg_type t join pg_enum e on e.enumtypid = t.oid
where t.typnamespace = to_regnamespace('service') group by 1 order by 1
"""
ACTIONS: Final = {"c": "cascade", "r": "restrict", "a": "no action", "n": "set null", "d": "set default"}
_CAST: Final = re.compile(
    r"""::(?:"[^"]+"|[\w.])+ (?:\s(?:varying|precision))? (?:\(\d+(?:,\s?\d+)?\))?
        (?:\swith(?:out)?\stime\szone)? (?:\[\])? $""",
    re.VERBOSE,
)
_BRACKETED: Final = re.compile(r"\(([^()]*)\)")
_QUOTED: Final = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is there.

    Attributes:
        tables: By name.
        enums: The labels of each enumeration in their order.
        unusable: Names of indexes and references that exist but do not hold, by table.
    """

    tables: Mapping[str, Table]
    enums: Mapping[str, tuple[str, ...]]
    unusable: Mapping[str, tuple[str, ...]]


async def read(connection: OwnerConnection) -> Catalog:
    """The tables and enumerations of schema `service`; the search path must be empty."""
    columns = await _by_table(connection, COLUMNS)
    indexes = await _by_table(connection, INDEXES)
    references = await _by_table(connection, REFERENCES)
    enums = await (await connection.execute(ENUMS.encode())).fetchall()
    return Catalog(
        {name: _table(name, rows, indexes[name], references[name]) for name, rows in columns.items()},
        {row["name"]: tuple(row["labels"]) for row in enums},
        {
            name: tuple(row["name"] for row in [*indexes[name], *references[name]] if not row["valid"])
            for name in columns
        },
    )


def plain(default: str | None) -> str | None:
    """A default without its casts, brackets and quotes, so that two spellings of one compare equal."""
    if default is None:
        return None
    text = _CAST.sub("", default.strip())
    if inside := _BRACKETED.fullmatch(text):
        text = _CAST.sub("", inside[1])
    if text.startswith("nextval("):
        return "autoincrement"
    if quoted := _QUOTED.fullmatch(text):
        return quoted[1].replace("''", "'")
    return "CURRENT_TIMESTAMP" if text.lower() in {"now()", "current_timestamp"} else text


async def _by_table(connection: OwnerConnection, query: str) -> defaultdict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in await (await connection.execute(query.encode())).fetchall():
        found[row["table"]].append(row)
    return found


def _table(
    name: str, columns: list[dict[str, Any]], indexes: list[dict[str, Any]], references: list[dict[str, Any]]
) -> Table:
    keys = [(row["is_primary"], _index(row)) for row in indexes if not row["special"]]
    return Table(
        name,
        tuple(Column(row["name"], row["type"], row["nullable"], row["default"]) for row in columns),
        next((key for primary, key in keys if primary), None),
        tuple(key for primary, key in keys if not primary),
        tuple(_reference(row) for row in references),
    )


def _index(row: dict[str, Any]) -> Index:
    return Index(row["name"], tuple(row["columns"]), unique=row["is_unique"], method=row["method"])


def _reference(row: dict[str, Any]) -> Reference:
    return Reference(
        tuple(row["columns"]),
        row["other"],
        tuple(row["target"]),
        on_delete=ACTIONS[row["on_delete"]],
        on_update=ACTIONS[row["on_update"]],
    )
