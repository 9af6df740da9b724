"""What Prisma's parser says of a schema, as tables, enumerations and the Python types of their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sba_db.models.shape import Column, Index, Reference, Table

IDENTIFIER = 63
SCALARS = {
    "String": ("text", "str"),
    "Int": ("integer", "int"),
    "BigInt": ("bigint", "int"),
    "Float": ("double precision", "float"),
    "Decimal": ("numeric(65,30)", "Decimal"),
    "Boolean": ("boolean", "bool"),
    "DateTime": ("timestamp(3) without time zone", "datetime"),
    "Json": ("jsonb", "Json"),
    "Bytes": ("bytea", "bytes"),
}
NATIVE = {
    "Uuid": ("uuid", "UUID"),
    "Text": ("text", "str"),
    "VarChar": ("character varying", "str"),
    "Char": ("character", "str"),
    "SmallInt": ("smallint", "int"),
    "Integer": ("integer", "int"),
    "BigInt": ("bigint", "int"),
    "Real": ("real", "float"),
    "DoublePrecision": ("double precision", "float"),
    "Decimal": ("numeric", "Decimal"),
    "Boolean": ("boolean", "bool"),
    "Date": ("date", "date"),
    "Timestamp": ("timestamp without time zone", "datetime"),
    "Timestamptz": ("timestamp with time zone", "datetime"),
    "JsonB": ("jsonb", "Json"),
    "ByteA": ("bytea", "bytes"),
}
ACTIONS = {
    "Cascade": "cascade",
    "Restrict": "restrict",
    "NoAction": "no action",
    "SetNull": "set null",
    "SetDefault": "set default",
}
COMPUTED = {"now": "CURRENT_TIMESTAMP", "autoincrement": "autoincrement"}
SUFFIXES = {"id": "pkey", "unique": "key", "normal": "idx"}
MADE_BY_THE_CLIENT = {"uuid", "cuid", "ulid", "nanoid"}
KEPT = {
    "enums", "models", "indexes",
    "name", "dbName", "schema", "documentation", "fields", "values", "kind", "type", "nativeType", "isList",
    "isRequired", "default", "relationFromFields", "relationToFields", "relationOnDelete", "relationOnUpdate",
    "model", "algorithm", "sortOrder",
}  # fmt: skip


class Unsupported(Exception):
    """The schema declares something for which there is no Python or no check yet."""


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enum: its name in Python, its type in Postgres, its labels in order, and what it is."""

    name: str
    type: str
    labels: tuple[str, ...]
    documentation: str


@dataclass(frozen=True, slots=True)
class Row:
    """A model: its class in Python, the table, the fields' Python types in order, and what it is."""

    name: str
    table: Table
    python_types: tuple[str, ...]
    documentation: str


@dataclass(frozen=True, slots=True)
class Datamodel:
    """Everything a schema declares, in its order."""

    enumerations: tuple[Enumeration, ...]
    rows: tuple[Row, ...]


def trimmed(described: Mapping[str, Any]) -> dict[str, Any]:
    """The parser's description without what generation does not read."""
    return {
        key: [trimmed(one) if isinstance(one, dict) else one for one in value]
        if isinstance(value, list)
        else value
        for key, value in described.items()
        if key in KEPT and value not in (None, [])
    }


def read(described: Mapping[str, Any]) -> Datamodel:
    """The datamodel that the parser described.

    Raises:
        Unsupported: It declares what cannot be generated.
    """
    enumerations = tuple(_enumeration(one) for one in described.get("enums", []))
    types = {one.name: one.type for one in enumerations}
    models = {model["name"]: model for model in described["models"]}
    return Datamodel(
        enumerations,
        tuple(_row(model, models, described.get("indexes", []), types) for model in models.values()),
    )


def _enumeration(described: Mapping[str, Any]) -> Enumeration:
    return Enumeration(
        described["name"],
        _stored(described),
        tuple(_stored(value) for value in described["values"]),
        _documentation(described),
    )


def _row(
    model: Mapping[str, Any],
    models: Mapping[str, Mapping[str, Any]],
    indexes: Iterable[Mapping[str, Any]],
    enumerations: Mapping[str, str],
) -> Row:
    columns = [_column(field, enumerations) for field in model["fields"] if field["kind"] != "object"]
    keys = [(one["type"], _index(one, model)) for one in indexes if one["model"] == model["name"]]
    table = Table(
        _stored(model),
        tuple(column for column, _ in columns),
        next((key for kind, key in keys if kind == "id"), None),
        tuple(key for kind, key in keys if kind != "id"),
        tuple(
            _reference(field, model, models[field["type"]])
            for field in model["fields"]
            if field.get("relationFromFields")
        ),
    )
    return Row(model["name"], table, tuple(python for _, python in columns), _documentation(model))


def _column(field: Mapping[str, Any], enumerations: Mapping[str, str]) -> tuple[Column, str]:
    stored, python = _types(field, enumerations)
    if field.get("isList"):
        stored, python = f"{stored}[]", f"list[{python}]"
    nullable = not field.get("isRequired")
    if python == "Json" and field.get("default") == "{}":
        python = "dict[str, Json]"
    elif nullable and python != "Json":
        python = f"{python} | None"
    return Column(_stored(field), stored, nullable, _default(field)), python


def _types(field: Mapping[str, Any], enumerations: Mapping[str, str]) -> tuple[str, str]:
    if field["kind"] == "enum":
        return f"service.{enumerations[field['type']]}", field["type"]
    if not field.get("nativeType"):
        return SCALARS[field["type"]]
    native, arguments = field["nativeType"]
    if native not in NATIVE:
        raise Unsupported(f"{field['name']}: @db.{native}")
    stored, python = NATIVE[native]
    if arguments:
        word, _, rest = stored.partition(" ") if native.startswith("Timestamp") else (stored, "", "")
        stored = f"{word}({','.join(arguments)}){' ' if rest else ''}{rest}"
    return stored, python


def _default(field: Mapping[str, Any]) -> str | None:
    value = field.get("default")
    if value is None:
        return None
    if isinstance(value, dict):
        return _computed(field["name"], value["name"], value.get("args", []))
    if isinstance(value, list):
        return "{" + ",".join(map(str, value)) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _computed(field: str, function: str, arguments: list[Any]) -> str | None:
    if function in MADE_BY_THE_CLIENT:
        return None
    if function == "dbgenerated" and arguments:
        return str(arguments[0])
    if function not in COMPUTED:
        raise Unsupported(f"{field}: @default({function}())")
    return COMPUTED[function]


def _index(described: Mapping[str, Any], model: Mapping[str, Any]) -> Index:
    stored = {field["name"]: _stored(field) for field in model["fields"]}
    columns = [stored[field["name"]] for field in described["fields"]]
    sorts = [" desc" if field.get("sortOrder") == "desc" else "" for field in described["fields"]]
    kind = described["type"]
    unsaid = _constraint_name(_stored(model), columns if kind != "id" else [], SUFFIXES[kind])
    return Index(
        described.get("dbName", unsaid),
        tuple(name + sort for name, sort in zip(columns, sorts, strict=True)),
        unique=kind != "normal",
        method=described.get("algorithm", "BTree").lower(),
    )


def _constraint_name(table: str, columns: Iterable[str], suffix: str) -> str:
    """The name Prisma gives what is not named: cut so that the suffix always fits."""
    return "_".join([table, *columns])[: IDENTIFIER - len(suffix) - 1] + f"_{suffix}"


def _reference(field: Mapping[str, Any], model: Mapping[str, Any], other: Mapping[str, Any]) -> Reference:
    ours = {one["name"]: _stored(one) for one in model["fields"]}
    theirs = {one["name"]: _stored(one) for one in other["fields"]}
    unsaid = "Restrict" if field.get("isRequired") else "SetNull"
    return Reference(
        tuple(ours[name] for name in field["relationFromFields"]),
        _stored(other),
        tuple(theirs[name] for name in field["relationToFields"]),
        ACTIONS[field.get("relationOnDelete", unsaid)],
        ACTIONS[field.get("relationOnUpdate", "Cascade")],
    )


def _stored(described: Mapping[str, Any]) -> str:
    return str(described.get("dbName") or described["name"])


def _documentation(described: Mapping[str, Any]) -> str:
    if not described.get("documentation"):
        raise Unsupported(f"{described['name']}: say in a `///` comment what it is")
    return str(described["documentation"])
