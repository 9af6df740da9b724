"""What a database says of its own tables, functions and types."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import class_row

from sba_supabase.errors import IntrospectionFailed

_IN: Final = frozenset({"i", "b", "v"})
_OUT: Final = frozenset({"t", "o", "b"})

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table or view.

    Attributes:
        name: what it is called.
        type: the `oid` of its type.
        nullable: whether it may be null.
        optional: whether a row may be inserted without it.
        generated: whether it is never written.
    """

    name: str
    type: int
    nullable: bool
    optional: bool
    generated: bool


@dataclass(frozen=True)
class Relation:
    """A table or view.

    Attributes:
        name: what it is called.
        writable: whether it is a table.
        comment: what the database says of it.
        key: the columns of its primary key.
    """

    name: str
    writable: bool
    comment: str | None
    key: list[str]
    columns: list[dict[str, Any]] | None

    @cached_property
    def fields(self) -> tuple[Column, ...]:
        """Its columns, in their order."""
        return tuple(Column(**column) for column in self.columns or [])


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a function, or a column of the table it answers with.

    Attributes:
        name: what it is called.
        type: the `oid` of its type.
        optional: whether it has a default.
    """

    name: str
    type: int
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function.

    Attributes:
        name: what it is called.
        comment: what the database says of it.
        result: the `oid` of the type it answers.
        many: whether it answers any number of them.
        defaults: how many of its last arguments have defaults.
        names: of every argument and column of its answer.
        modes: of each; empty when all are arguments.
        types: of each, as `oid`.
    """

    name: str
    comment: str | None
    result: int
    many: bool
    defaults: int
    names: list[str]
    modes: list[str]
    types: list[int]

    def _each(self) -> list[tuple[str, str, int]]:
        modes = self.modes or ["i"] * len(self.types)
        names = self.names or [""] * len(self.types)
        return list(zip(names, modes, self.types, strict=True))

    def arguments(self) -> tuple[Argument, ...]:
        """What it is called with."""
        given = [(name, type_) for name, mode, type_ in self._each() if mode in _IN]
        first_optional = len(given) - self.defaults
        return tuple(Argument(name, type_, at >= first_optional) for at, (name, type_) in enumerate(given))

    def answer(self) -> tuple[Argument, ...]:
        """The members of the rows it answers with, empty where it has another result.

        PostgREST answers with an object as soon as there is one argument that goes out.
        """
        out = [(name, type_) for name, mode, type_ in self._each() if mode in _OUT]
        return tuple(Argument(name or f"column{at}", type_) for at, (name, type_) in enumerate(out, start=1))


@dataclass(frozen=True, slots=True)
class Kind:
    """A type.

    Attributes:
        oid: its number.
        name: what it is called.
        kind: Postgres's letter: b, c, d, e, p, r or m.
        element: the type of an array's elements.
        is_array: whether it is an array.
        base: the type under a domain.
        relation: the table or view whose row it is, in the schema looked at.
        ours: whether it is of the schema looked at.
        labels: of an enum.
    """

    oid: int
    name: str
    kind: str
    element: int
    is_array: bool
    base: int
    relation: str | None
    ours: bool
    labels: list[str]


@dataclass(frozen=True, slots=True)
class Catalog:
    """A schema.

    Attributes:
        relations: its tables and views.
        functions: its functions.
        kinds: every type of the database by its `oid`.
    """

    relations: tuple[Relation, ...]
    functions: tuple[Function, ...]
    kinds: dict[int, Kind]


async def read_catalog(url: str, schema: str) -> Catalog:
    """What a schema holds.

    Args:
        url: a login that may connect; it reads Postgres's catalog only.
        schema: which one.

    Raises:
        IntrospectionFailed: it cannot be read. Never shows the password.
    """
    try:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            return Catalog(
                relations=tuple(await _rows(connection, "catalog", schema, Relation)),
                functions=tuple(await _rows(connection, "functions", schema, Function)),
                kinds={kind.oid: kind for kind in await _rows(connection, "kinds", schema, Kind)},
            )
    except psycopg.Error as error:
        name = type(error).__name__
    raise IntrospectionFailed(f"the database's catalog cannot be read: {name}")


async def _rows(
    connection: psycopg.AsyncConnection[tuple[object, ...]], query: str, schema: str, into: type[_T]
) -> list[_T]:
    text = resources.files("sba_supabase").joinpath("types", f"{query}.sql").read_bytes()
    async with psycopg.AsyncCursor(connection, row_factory=class_row(into)) as cursor:
        await cursor.execute(text, {"schema": schema})
        return await cursor.fetchall()
