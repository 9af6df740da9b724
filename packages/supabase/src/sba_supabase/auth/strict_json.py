"""JSON that can be read in one way only."""

from __future__ import annotations

import json
from typing import NoReturn


class DuplicateMemberError(ValueError):
    """An object names a member twice."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DuplicateMemberError
    return members


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def read_object(data: bytes) -> dict[str, object]:
    """One JSON object in UTF-8.

    Raises:
        DuplicateMemberError: an object in it names a member twice.
        ValueError: it is anything but one JSON object: bad UTF-8, another type, NaN, trailing text.
    """
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - bad input, not a programming error
    return value
