"""Typed writes over a PostgREST client: each answers the rows as they are afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sba_supabase.queries import Tables, Where, matching
from sba_supabase.types.schema import Row, Table, Write

RowT = TypeVar("RowT", bound=Row)
InsertT = TypeVar("InsertT", bound=Write)
UpdateT = TypeVar("UpdateT", bound=Write)


async def _rows(table: Table[RowT, InsertT, UpdateT], builder: Any) -> list[RowT]:  # noqa: ANN401 - PostgREST's
    """Send a request, and read the rows it answers with."""
    builder.request.params = builder.request.params.set("select", table.selection)
    return [table.row.model_validate(row) for row in (await builder.execute()).data]


async def insert(client: Tables, table: Table[RowT, InsertT, UpdateT], rows: Sequence[InsertT]) -> list[RowT]:
    """Insert rows, all or none; what they leave out gets its default.

    Args:
        client: whose rights count.
        table: where.
        rows: what.
    """
    values = [row.values_set() for row in rows]
    if not values:
        return []
    request = client.table(table.name).insert(values, default_to_null=False)
    return await _rows(table, request)


async def upsert(
    client: Tables,
    table: Table[RowT, InsertT, UpdateT],
    rows: Sequence[InsertT],
    *,
    on_conflict: Sequence[str] = (),
) -> list[RowT]:
    """Insert rows, or change those that are there, all or none.

    Args:
        client: whose rights count.
        table: where.
        rows: what.
        on_conflict: the columns that tell a row from others, the primary key when empty.
    """
    values = [row.values_set() for row in rows]
    if not values:
        return []
    columns = ",".join(on_conflict or table.key)
    request = client.table(table.name).upsert(values, on_conflict=columns, default_to_null=False)
    return await _rows(table, request)


async def update(
    client: Tables, table: Table[RowT, InsertT, UpdateT], changes: UpdateT, where: Where
) -> list[RowT]:
    """Change the rows with these values.

    Args:
        client: whose rights count.
        table: where.
        changes: only what is set is changed.
        where: values by column, with the tenant's on a table of tenants'; never empty.

    Raises:
        ValueError: nothing is changed, or the filter is empty, names an unknown column or leaves out the
            tenant.
    """
    _check(table, where)
    values = changes.values_set()
    if not values:
        raise ValueError("nothing is changed")
    request = matching(client.table(table.name).update(values), where)
    return await _rows(table, request)


async def delete(client: Tables, table: Table[RowT, InsertT, UpdateT], where: Where) -> list[RowT]:
    """Delete the rows with these values, and answer what they were.

    Args:
        client: whose rights count.
        table: where.
        where: values by column, with the tenant's on a table of tenants'; never empty.

    Raises:
        ValueError: the filter is empty, names an unknown column or leaves out the tenant.
    """
    _check(table, where)
    request = matching(client.table(table.name).delete(), where)
    return await _rows(table, request)


def _check(table: Table[RowT, InsertT, UpdateT], where: Where) -> None:
    if not where:
        raise ValueError(f"which rows of {table.name}? The filter is empty")
    table.check_filter(where)
