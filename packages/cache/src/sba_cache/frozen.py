"""Which types have values that nobody can change, so that callers may share one."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import inspect

ATOMS: Final = frozenset({str, bytes, int, float, bool, type(None)})
_LEAVES: Final = (
    inspect.NoneType,
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.StrType,
    inspect.BytesType,
    inspect.DateTimeType,
    inspect.TimeType,
    inspect.DateType,
    inspect.TimeDeltaType,
    inspect.UUIDType,
    inspect.DecimalType,
    inspect.EnumType,
    inspect.LiteralType,
)


def is_frozen(type_: Any) -> bool:  # noqa: ANN401 - any type is one or the other
    """Whether every value of the type, all of its parts included, stays as it is."""
    return _frozen(inspect.type_info(type_), set())


def _frozen(type_: inspect.Type, seen: set[type]) -> bool:
    match type_:
        case inspect.Metadata(type=inner):
            return _frozen(inner, seen)
        case inspect.UnionType(types=types) | inspect.TupleType(item_types=types):
            return all(_frozen(one, seen) for one in types)
        case inspect.VarTupleType(item_type=item) | inspect.FrozenSetType(item_type=item):
            return _frozen(item, seen)
        case inspect.StructType() | inspect.DataclassType() | inspect.NamedTupleType():
            return _frozen_record(type_, seen)
        case _:
            return isinstance(type_, _LEAVES)


def _frozen_record(
    type_: inspect.StructType | inspect.DataclassType | inspect.NamedTupleType, seen: set[type]
) -> bool:
    if type_.cls in seen:
        return True
    seen.add(type_.cls)
    return _cannot_be_assigned(type_.cls) and all(_frozen(field.type, seen) for field in type_.fields)


def _cannot_be_assigned(cls: type) -> bool:
    if issubclass(cls, msgspec.Struct):
        return bool(cls.__struct_config__.frozen)
    if issubclass(cls, tuple):
        return True
    parameters = getattr(cls, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)
