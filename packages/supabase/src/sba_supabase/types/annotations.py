"""The Python type of a Postgres type, as PostgREST writes its values in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sba_supabase.types.introspection import Kind
from sba_supabase.types.naming import class_name, enum_name

ANY: Final = "JsonValue"
_SCALARS: Final = {
    "bool": "bool",
    "int2": "int",
    "int4": "int",
    "int8": "int",
    "oid": "int",
    "float4": "float",
    "float8": "float",
    "numeric": "Decimal",
    "uuid": "UUID",
    "date": "date_type",
    "time": "time_type",
    "timestamptz": "AwareDatetime",
    "timestamp": "NaiveDatetime",
    "json": ANY,
    "jsonb": ANY,
    "void": "None",
    "record": ANY,
}
_JSON_LIKE: Final = frozenset({"c", "p"})
_DEEPEST: Final = 16


def annotation(oid: int, kinds: Mapping[int, Kind], depth: int = 0) -> str:
    """The annotation of values of a type.

    Args:
        oid: the type.
        kinds: every type there is.
        depth: how many domains and arrays lie around it.
    """
    kind = kinds.get(oid)
    if kind is None or depth > _DEEPEST:
        return ANY
    if kind.kind == "d":
        return annotation(kind.base, kinds, depth + 1)
    if kind.is_array:
        return f"list[{annotation(kind.element, kinds, depth + 1)}]"
    return _generated(kind) or _SCALARS.get(kind.name) or (ANY if kind.kind in _JSON_LIKE else "str")


def _generated(kind: Kind) -> str | None:
    """The class that is generated for a type, where one is."""
    if kind.kind == "e" and kind.ours:
        return enum_name(kind.name)
    return None if kind.relation is None else f"{class_name(kind.relation)}Row"
