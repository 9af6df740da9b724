"""What may be stored: sizes and characters, checked before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from sba_db.errors import InvalidValue, PayloadTooLarge
from sba_telemetry import redact

KIB: Final = 1024
NAME: Final = 200
WORD: Final = 100
PROMPT: Final = 32 * KIB
OPTIONS: Final = 16 * KIB
ERROR: Final = 16 * KIB
EVENT: Final = 64 * KIB
DOCUMENT: Final = 256 * KIB

_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def text(field: str, value: str, *, limit: int, empty: bool = False) -> str:
    """The text itself, once it is known to be storable.

    Raises:
        InvalidValue: Empty, or a NUL character or a lone surrogate in it.
        PayloadTooLarge: More bytes of UTF-8 than `limit`.
    """
    if "\0" in value:
        raise InvalidValue("has a NUL character", field=field)
    _fits(field, value, limit)
    if not value and not empty:
        raise InvalidValue("is empty", field=field)
    return value


def optional_text(field: str, value: str | None, *, limit: int) -> str | None:
    """As `text`, letting None through."""
    return None if value is None else text(field, value, limit=limit)


def document(field: str, value: object, *, limit: int) -> str:
    """The value as JSON text.

    Raises:
        InvalidValue: Not JSON, or a NUL character or a lone surrogate in it.
        PayloadTooLarge: More bytes of UTF-8 than `limit`.
    """
    try:
        encoded = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise InvalidValue("is not JSON", field=field) from None
    _fits(field, encoded, limit)
    if "\\u0000" in encoded and _ESCAPED_NUL.search(encoded):
        raise InvalidValue("has a NUL character", field=field)
    return encoded


def optional_document(field: str, value: object, *, limit: int) -> str | None:
    """As `document`, storing None as SQL NULL."""
    return None if value is None else document(field, value, limit=limit)


def redacted(field: str, value: object, *, limit: int) -> str:
    """As `document`, without the secrets that `sba_telemetry.redact` knows by their name or shape.

    Args:
        field: What errors name.
        value: What JSON has words for, and nothing else. What is nested more than 24 deep becomes `"…"`.
        limit: Of what is given; with `"[redacted]"` for shorter secrets it may grow beyond that.

    Raises:
        InvalidValue: As `document` says.
        PayloadTooLarge: As `document` says.
    """
    encoded = document(field, value, limit=limit)
    try:
        given = json.loads(encoded)
    except RecursionError:
        raise InvalidValue("is nested too deep", field=field) from None
    clean = redact(given)
    return encoded if clean == given else json.dumps(clean, ensure_ascii=False, separators=(",", ":"))


def optional_redacted(field: str, value: object, *, limit: int) -> str | None:
    """As `redacted`, storing None as SQL NULL."""
    return None if value is None else redacted(field, value, limit=limit)


def mapping(field: str, value: Mapping[str, object] | None, *, limit: int) -> str:
    """As `document`, for a JSON object; None is the empty one."""
    if value is not None and not isinstance(value, Mapping):
        raise InvalidValue("is not an object", field=field)
    return document(field, dict(value or {}), limit=limit)


def canonical(document: str) -> str:
    """JSON text with its keys sorted, for comparing."""
    return json.dumps(json.loads(document), sort_keys=True, separators=(",", ":"))


def choice(field: str, value: str, kind: type[StrEnum]) -> str:
    """The value itself, when the enumeration has it.

    Raises:
        InvalidValue: It has not.
    """
    try:
        return kind(value).value
    except ValueError:
        raise InvalidValue(f"must be one of {', '.join(kind)}", field=field) from None


def page_size(limit: int, *, most: int) -> int:
    """The limit itself, when it is between 1 and `most`.

    Raises:
        InvalidValue: It is not.
    """
    if not 1 <= limit <= most:
        raise InvalidValue(f"must be between 1 and {most}", field="limit")
    return limit


def _fits(field: str, value: str, limit: int) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidValue("has a lone surrogate", field=field) from None
    if size > limit:
        raise PayloadTooLarge(field=field, limit=limit, size=size)
