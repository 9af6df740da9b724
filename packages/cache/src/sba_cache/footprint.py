"""How much memory a value takes that nobody can change."""

from __future__ import annotations

from collections.abc import Iterable
from sys import getsizeof
from typing import Any, Final

PARTS: Final = 1000
"""Objects looked at, at most: a few ten microseconds."""
_ALONE: Final = frozenset({str, bytes, int, float, bool, type(None)})


def footprint(value: Any) -> int | None:  # noqa: ANN401 - any value takes memory
    """Bytes of a value and all its parts; one met twice counts twice.

    Returns:
        None when there are more than `PARTS` objects to look at.
    """
    total, found = 0, [value]
    for part in found:
        total += getsizeof(part)
        if type(part) in _ALONE:
            continue
        inner = _inner(part)
        if len(found) + len(inner) > PARTS:
            return None
        found.extend(inner)
    return total


def _inner(part: Any) -> list[Any] | tuple[Any, ...] | frozenset[Any]:  # noqa: ANN401 - as above
    if isinstance(part, tuple | frozenset):
        return part
    held = [vars(part)] if hasattr(part, "__dict__") else []
    return [*held, *(getattr(part, name, None) for name in _fields(type(part)))]


def _fields(cls: type) -> Iterable[str]:
    """The names of what a record holds; of other objects `getsizeof` knows all."""
    names: Iterable[str] = getattr(cls, "__struct_fields__", getattr(cls, "__dataclass_fields__", ()))
    return names
