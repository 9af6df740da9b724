"""Request bodies: JSON, a form, or CSV, all read as JSON rows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from sba_local.supabase.rest.errors import RestError, bad_body

JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_CSV: Final = "text/csv"
_RAW: Final = ("text/plain", "text/xml", "application/octet-stream")
_INVALID: Final = "Empty or invalid json"
_BETWEEN: Final = re.compile(r"[\s,]*")
_MIXED: Final = "All object keys must match"


@dataclass(frozen=True, slots=True)
class Payload:
    """What was sent.

    Attributes:
        text: a JSON array of objects, or whatever a function takes as it is.
        rows: the same, parsed; empty for what is not JSON objects.
        media: its media type.
        value: the body parsed, where it is JSON.
    """

    text: str
    rows: tuple[Mapping[str, Any], ...]
    media: str = JSON
    value: object = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The members of the first row."""
        return tuple(self.rows[0]) if self.rows else ()

    def texts(self) -> Iterator[str]:
        """Each row's own part of the text, numbers as exact as they were sent."""
        decoder, at = json.JSONDecoder(), self.text.index("[") + 1
        for _ in self.rows:
            begin = _BETWEEN.match(self.text, at).end()  # type: ignore[union-attr]  # it may match nothing
            _, at = decoder.raw_decode(self.text, begin)
            yield self.text[begin:at]


def media_of(content_type: str) -> str:
    """The media type without its parameters."""
    return content_type.partition(";")[0].strip().lower() or JSON


def parse_payload(body: bytes, content_type: str) -> Payload:
    """Rows to write.

    Raises:
        RestError: PGRST102, it is not what it says or not rows.
    """
    media = media_of(content_type)
    if media == JSON:
        return _of_json(_decoded(body))
    if media == _FORM:
        return _of([dict(_form(body))])
    if media == _CSV:
        return _of(_csv(_decoded(body)))
    raise RestError(400, "PGRST102", f"Content-Type not acceptable: {media}")


def parse_arguments(body: bytes, content_type: str) -> Payload:
    """Arguments of a function: an object, or a body that it takes as it is.

    Raises:
        RestError: PGRST102.
    """
    media = media_of(content_type)
    if media in _RAW:
        text = "\\x" + body.hex() if media == _RAW[-1] else _decoded(body)
        return Payload(text, (), media)
    if media != JSON:
        return parse_payload(body, content_type)
    text = _decoded(body) if body.strip() else "{}"
    value = _json(text)
    return Payload(text, (value,) if isinstance(value, dict) else (), JSON, value)


def uniform(payload: Payload) -> None:
    """Every row has the same members.

    Raises:
        RestError: PGRST102.
    """
    if any(set(row) != set(payload.rows[0]) for row in payload.rows):
        raise bad_body(_MIXED)


def _of_json(text: str) -> Payload:
    value = _json(text)
    listed = value if isinstance(value, list) else [value]
    rows = tuple(row for row in listed if isinstance(row, dict))
    if len(rows) != len(listed):
        raise bad_body(_MIXED if isinstance(value, list) else _INVALID)
    return Payload(text if isinstance(value, list) else f"[{text}]", rows, JSON, value)


def _of(rows: list[dict[str, Any]]) -> Payload:
    return Payload(json.dumps(rows), tuple(rows))


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise bad_body(_INVALID) from None


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(_decoded(body), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise bad_body("Empty or invalid form") from None


def _json(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise bad_body(_INVALID) from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _csv(text: str) -> list[dict[str, Any]]:
    lines = _lines(text)
    if not lines or any(len(line) != len(lines[0]) for line in lines):
        raise bad_body("All lines must have same number of fields")
    header, *values = lines
    return [
        {name: None if value == "NULL" else value for name, value in zip(header, line, strict=True)}
        for line in values
    ]


def _lines(text: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise bad_body(f"Invalid CSV: {error}") from None
