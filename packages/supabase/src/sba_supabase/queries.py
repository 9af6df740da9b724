"""Typed reads over a PostgREST client: they say what is read, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pydantic_core import to_jsonable_python

from sba_supabase.types.schema import Row, Table, Write, quoted

RowT = TypeVar("RowT", bound=Row)
InsertT = TypeVar("InsertT", bound=Write)
UpdateT = TypeVar("UpdateT", bound=Write)

Where = Mapping[str, object]


class Tables(Protocol):
    """What reaches tables: a client of this package's, or anything of its form."""

    def table(self, name: str, /) -> Any:  # noqa: ANN401 - a builder whose every method answers another
        """A request to be built for a table."""


def matching(builder: Any, where: Where) -> Any:  # noqa: ANN401 - a builder of PostgREST's
    """A request that concerns the rows whose columns have these values.

    Args:
        builder: a request that takes filters.
        where: values by column; None matches null, and a list, tuple or set any of its members.

    Raises:
        ValueError: null is one of those members, which nothing would match.
    """
    for column, value in where.items():
        if value is None:
            builder = builder.is_(column, "null")
        elif isinstance(value, list | tuple | set | frozenset):
            builder = builder.filter(column, "in", _any_of(value))
        else:
            builder = builder.eq(column, _text(value))
    return builder


def _any_of(values: Collection[object]) -> str:
    if None in values:
        raise ValueError("null is none of several values: ask for it alone")
    return f"({','.join(_quoted(text) for text in sorted(map(_text, values)))})"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(value: object) -> str:
    plain = to_jsonable_python(value)
    return str(plain).lower() if isinstance(plain, bool) else str(plain)


async def fetch(
    client: Tables,
    table: Table[RowT, InsertT, UpdateT],
    where: Where,
    *,
    order: Sequence[str] = (),
    limit: int | None = None,
    offset: int = 0,
) -> list[RowT]:
    """The rows with these values.

    Args:
        client: whose rights count.
        table: where.
        where: values by column, with the tenant's on a table of tenants'.
        order: columns to order by, `-` before one for descending; the primary key breaks ties.
        limit: how many rows at most; the server has a limit of its own.
        offset: how many to pass over.

    Raises:
        ValueError: a column is unknown, or the tenant is not named.
        pydantic.ValidationError: the database's rows are not those the types were generated from.
    """
    table.check_filter(where)
    request = matching(client.table(table.name).select(table.selection), where)
    for column, descending in _ordering(table, order):
        request = request.order(quoted(column), desc=descending)
    if limit is not None:
        request = request.limit(limit)
    if offset:
        request = request.offset(offset)
    return [table.row.model_validate(row) for row in (await request.execute()).data]


async def find(client: Tables, table: Table[RowT, InsertT, UpdateT], where: Where) -> RowT | None:
    """The first row with these values by the primary key, None where there is none.

    Raises:
        ValueError: a column is unknown, or the tenant is not named.
    """
    rows = await fetch(client, table, where, limit=1)
    return rows[0] if rows else None


async def count(client: Tables, table: Table[RowT, InsertT, UpdateT], where: Where) -> int:
    """How many rows have these values, counted exactly.

    Raises:
        ValueError: a column is unknown, or the tenant is not named.
    """
    table.check_filter(where)
    request = client.table(table.name).select(quoted(table.columns[0]), count="exact", head=True)
    return (await matching(request, where).execute()).count or 0


def _ordering(table: Table[RowT, InsertT, UpdateT], order: Sequence[str]) -> list[tuple[str, bool]]:
    asked = [(name.removeprefix("-"), name.startswith("-")) for name in order]
    unknown = {name for name, _ in asked} - set(table.columns)
    if unknown:
        raise ValueError(f"{table.name} has no column {', '.join(sorted(unknown))}")
    named = {name for name, _ in asked}
    return asked + [(name, False) for name in table.key if name not in named]
