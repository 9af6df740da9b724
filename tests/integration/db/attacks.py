"""Every statement with which a session could reach for another tenant's row, by its id and by a filter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, LiteralString
from uuid import UUID

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.fixtures.databases import Tenant
from tests.integration.db.catalog import Table

REFUSED = (pg.InsufficientPrivilege, pg.FeatureNotSupported, pg.WrongObjectType)
"""What Postgres answers to what it will not do.

COPY FROM is "not supported" under row level security, and a partitioned table is no object to copy whole.
"""

REACHING: dict[str, LiteralString] = {
    "select": "select tenant_id from {table} where {condition}",
    "select for update": "select tenant_id from {table} where {condition} for update",
    "count": "select {victim} as tenant_id from {table} where {condition} having count(*) > 0",
    "update": "update {table} set tenant_id = tenant_id where {condition} returning tenant_id",
    "change": "update {table} set {column} = {column} where {condition} returning tenant_id",
    "delete": "delete from {table} where {condition} returning tenant_id",
    "merge": "merge into {table} using (values (1)) as one (one) on {condition}"
    " when matched then update set tenant_id = {table}.tenant_id",
    "insert": "insert into {table} ({columns}) select {columns} from {table} where {condition}"
    " returning tenant_id",
    "upsert": "insert into {table} ({columns}) select {columns} from {table} where {condition}"
    " on conflict ({key}) do update set tenant_id = excluded.tenant_id returning tenant_id",
    "copy to": "copy (select tenant_id from {table} where {condition}) to stdout",
}
PLANTING: dict[str, LiteralString] = {
    "insert": "insert into {table} ({columns}) values ({values})",
    "insert or nothing": "insert into {table} ({columns}) values ({values}) on conflict do nothing",
    "insert returning": "insert into {table} ({columns}) values ({values}) returning tenant_id",
    "upsert": "insert into {table} ({columns}) values ({values})"
    " on conflict ({key}) do update set tenant_id = excluded.tenant_id",
    "copy from": "copy {table} ({columns}) from stdin",
}
WHOLE: dict[str, LiteralString] = {
    "select": "select tenant_id from {table}",
    "copy to": "copy {table} (tenant_id) to stdout",
    "update": "update {table} set tenant_id = {victim}",
    "delete": "delete from {table}",
    "truncate": "truncate {table}",
}

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Attack:
    """A statement that must not get hold of anything.

    Attributes:
        name: What is done, and by what it is aimed.
        planting: Whether it must be refused: it would leave a row in the victim's name.
    """

    name: str
    query: sql.Composed
    values: tuple[Any, ...] = ()
    copy: Literal["in", "out", ""] = ""
    planting: bool = False


def attacks(table: Table, row: dict[str, Any], victim: Tenant) -> Iterator[Attack]:
    """All statements against that row of the victim's."""
    parts: dict[str, sql.Composable] = {
        "table": table.identifier,
        "columns": listed(row),
        "column": sql.Identifier(table.column),
        "key": listed(table.key),
        "values": sql.SQL(", ").join(sql.Literal(_sent(one)) for one in row.values()),
        "victim": sql.Literal(victim.id),
    }
    for aim, condition in _conditions(table, row, victim).items():
        for name, text in REACHING.items():
            query = sql.SQL(text).format(**parts, condition=condition)
            yield Attack(f"{name} by {aim}", query, copy="out" if name == "copy to" else "")
    for name, text in PLANTING.items():
        values = tuple(map(_sent, row.values()))
        query = sql.SQL(text).format(**parts)
        yield Attack(f"{name} of the row", query, values, "in" if name == "copy from" else "", planting=True)
    for name, text in WHOLE.items():
        query = sql.SQL(text).format(**parts)
        yield Attack(f"{name} of the table", query, copy="out" if name == "copy to" else "")


async def booty(connection: Connection, attack: Attack, identity: UUID | None, victim: Tenant) -> bool:
    """Whether the attack got hold of anything of the victim's, or was not refused though it had to be.

    A broken rule of the table is an answer too: it tells that the victim's row is there.
    """
    try:
        async with _as_tenant(connection, identity):
            seen = await _run(connection, attack)
    except REFUSED:
        return False
    except psycopg.IntegrityError:
        return True
    return attack.planting or str(victim.id) in seen


@asynccontextmanager
async def _as_tenant(connection: Connection, identity: UUID | None) -> AsyncIterator[None]:
    await connection.execute("begin read write")
    try:
        if identity is not None:
            await connection.execute("select set_config('app.tenant_id', %s, true)", (str(identity),))
        yield
        await connection.execute("commit")
    finally:
        if connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            await connection.execute("rollback")


async def _run(connection: Connection, attack: Attack) -> set[str]:
    cursor = psycopg.AsyncCursor(connection)
    if attack.copy == "out":
        async with cursor.copy(attack.query) as copy:
            return {bytes(line).decode().strip() async for line in copy}
    if attack.copy == "in":
        async with cursor.copy(attack.query) as copy:
            await copy.write_row(attack.values)
        return set()
    await cursor.execute(attack.query)
    return {str(row["tenant_id"]) for row in await cursor.fetchall()} if cursor.description else set()


def _conditions(table: Table, row: dict[str, Any], victim: Tenant) -> dict[str, sql.Composable]:
    by_id = sql.SQL(" and ").join(
        sql.SQL("{}.{} = {}").format(table.identifier, sql.Identifier(column), sql.Literal(row[column]))
        for column in table.key
    )
    by_filter = sql.SQL("{}.tenant_id = {}").format(table.identifier, sql.Literal(victim.id))
    return {"id": by_id, "filter": by_filter}


def listed(names: Any) -> sql.Composed:
    """Column names with commas between them."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _sent(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict | list) else value
