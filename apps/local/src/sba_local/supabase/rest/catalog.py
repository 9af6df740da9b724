"""The schema cache: tables, keys and functions by name, read from the catalog."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any, Final

import psycopg

from sba_local.supabase.rest.binding import Part, quoted
from sba_local.supabase.rest.errors import RestError, column_undefined, table_missing

_READ: Final = resources.files("sba_local.supabase.rest").joinpath("catalog.sql").read_bytes()
_SPELLINGS: Final = {
    "bigint": "int8",
    "bit varying": "varbit",
    "boolean": "bool",
    "char": "bpchar",
    "character": "bpchar",
    "character varying": "varchar",
    "dec": "numeric",
    "decimal": "numeric",
    "double precision": "float8",
    "float": "float8",
    "int": "int4",
    "integer": "int4",
    "real": "float4",
    "smallint": "int2",
    "time with time zone": "timetz",
    "time without time zone": "time",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
}
_HIDDEN: Final = "v"


@dataclass(frozen=True, slots=True)
class Name:
    """Schema and name of something."""

    schema: str
    name: str

    @property
    def quoted(self) -> Part:
        """Both, quoted."""
        return quoted(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column: its name and type."""

    name: str
    type: Name


@dataclass(frozen=True)
class Relation:
    """Something with columns: a table, a view, or the rows of a function.

    Attributes:
        name: where it is.
        attributes: its columns, in order.
        primary_key: the columns of its primary key.
        uniques: the columns of each of its unique keys, the primary one included.
        computed: functions of one row that read as columns.
        kind: Postgres's letter for it.
    """

    name: Name
    attributes: tuple[Attribute, ...]
    primary_key: tuple[str, ...] = ()
    uniques: tuple[frozenset[str], ...] = ()
    computed: frozenset[str] = frozenset()
    kind: str = _HIDDEN

    @cached_property
    def types(self) -> Mapping[str, Name]:
        """The type of each column."""
        return {attribute.name: attribute.type for attribute in self.attributes}

    @property
    def stored(self) -> bool:
        """Whether it keeps rows of its own."""
        return self.kind in ("r", "p")

    def check(self, column: str) -> None:
        """Refuse a column that it does not have.

        Raises:
            SchemaMiss: 42703.
        """
        if column not in self.types and column not in self.computed:
            raise column_undefined(self.name.name, column)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of one table that reference another's."""

    name: str
    table: Name
    columns: tuple[str, ...]
    target: Name
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function; its name may be empty."""

    name: str
    type: Name
    required: bool
    variadic: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function that may be called.

    Attributes:
        name: where it is.
        parameters: what it takes, in order.
        volatile: whether it may write.
        many: whether it returns a set.
        returns: its return type.
        kind: Postgres's letter for that type: c(omposite), p(seudo) and others, which are scalars.
        outputs: the columns of what it returns; empty for a scalar, and for a record that does not say.
    """

    name: Name
    parameters: tuple[Parameter, ...]
    volatile: bool
    many: bool
    returns: Name
    kind: str
    outputs: tuple[Attribute, ...]

    @property
    def void(self) -> bool:
        """Whether it returns nothing."""
        return self.returns == Name("pg_catalog", "void")

    @property
    def tabular(self) -> bool:
        """Whether its result has columns by name."""
        return bool(self.outputs)

    @property
    def unnamed(self) -> Parameter | None:
        """Its only parameter, if that has no name."""
        only = self.parameters[0] if len(self.parameters) == 1 else None
        return only if only is not None and not only.name else None


class Catalog:
    """What can be named in a request.

    Args:
        document: what `catalog.sql` answers.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        computed = _computed(document["functions"])
        found = [_relation(entry, computed) for entry in document["tables"]]
        self.relations: Mapping[Name, Relation] = {relation.name: relation for relation in found}
        self.foreign_keys = tuple(_foreign_key(entry) for entry in document["foreign_keys"])
        self.functions = tuple(_function(entry) for entry in document["functions"])
        self._types = {Name(*entry) for entry in document["types"]}

    def relation(self, schema: str, name: str) -> Relation:
        """A table or view.

        Raises:
            SchemaMiss: PGRST205.
        """
        found = self.relations.get(Name(schema, name))
        if found is None:
            raise table_missing(schema, name, self._near(schema, name))
        return found

    def overloads(self, schema: str, name: str) -> list[Function]:
        """The functions of a name."""
        return [function for function in self.functions if function.name == Name(schema, name)]

    def type(self, spelled: str, schemas: Sequence[str]) -> Name:
        """A type that a value may be cast to.

        Raises:
            RestError: 42704.
        """
        word = " ".join(spelled.removesuffix("[]").lower().split())
        name = ("_" if spelled.endswith("[]") else "") + _SPELLINGS.get(word, word)
        for schema in ("pg_catalog", *schemas, "extensions"):
            if Name(schema, name) in self._types:
                return Name(schema, name)
        raise RestError(400, "42704", f'type "{spelled}" does not exist')

    def _near(self, schema: str, name: str) -> str | None:
        names = [known.name for known in self.relations if known.schema == schema]
        near = difflib.get_close_matches(name, names, n=1)
        return f"Perhaps you meant the table '{schema}.{near[0]}'" if near else None


async def read_catalog(
    connection: psycopg.AsyncConnection[tuple[Any, ...]], schemas: Sequence[str]
) -> Catalog:
    """Read the catalog of the exposed schemas."""
    cursor = await connection.execute(_READ, {"schemas": list(schemas)})
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  # an aggregate without groups answers one row
    return Catalog(row[0])


def _computed(functions: Sequence[Mapping[str, Any]]) -> dict[Name, frozenset[str]]:
    found: dict[Name, frozenset[str]] = {}
    for function in functions:
        parameters = function["parameters"]
        if len(parameters) == 1 and parameters[0]["relation"] and not function["many"]:
            relation = Name(*parameters[0]["relation"])
            found[relation] = found.get(relation, frozenset()) | {function["name"]}
    return found


def _relation(entry: Mapping[str, Any], computed: Mapping[Name, frozenset[str]]) -> Relation:
    name = Name(entry["schema"], entry["name"])
    return Relation(
        name,
        _attributes(entry["columns"]),
        tuple(entry["primary_key"] or ()),
        tuple(frozenset(columns) for columns in entry["uniques"] or ()),
        computed.get(name, frozenset()),
        entry["kind"],
    )


def _attributes(entries: Sequence[Mapping[str, Any]] | None) -> tuple[Attribute, ...]:
    return tuple(Attribute(entry["name"], Name(*entry["type"])) for entry in entries or ())


def _foreign_key(entry: Mapping[str, Any]) -> ForeignKey:
    return ForeignKey(
        entry["name"],
        Name(*entry["table"]),
        tuple(entry["columns"]),
        Name(*entry["target"]),
        tuple(entry["target_columns"]),
    )


def _function(entry: Mapping[str, Any]) -> Function:
    parameters = [
        Parameter(one["name"], Name(*one["type"]), one["required"], one["variadic"])
        for one in entry["parameters"]
    ]
    return Function(
        Name(entry["schema"], entry["name"]),
        tuple(parameters),
        entry["volatility"] == "v",
        entry["many"],
        Name(*entry["returns"]),
        entry["kind"],
        _attributes(entry["attributes"] or _named(entry["outputs"])),
    )


def _named(outputs: Sequence[Mapping[str, Any]] | None) -> Sequence[Mapping[str, Any]]:
    """The output columns of a record, if all have names."""
    listed = outputs or ()
    return listed if all(one["name"] for one in listed) else ()
