"""What the REST stand-in answers when it cannot do what was asked.

RestError                a refusal with a status and PostgREST's error body
├── ParseError           PGRST100: the query string does not parse
└── SchemaMiss           something the catalog does not hold, perhaps because it was read too long ago
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sba_local.supabase.errors import DatabaseBusy, DatabaseUnavailable


@dataclass(eq=False)
class RestError(Exception):
    """A refusal.

    Attributes:
        status: HTTP status.
        code: PostgREST's code, or a SQLSTATE.
        message: what went wrong.
        details: more of it; a list where PostgREST sends one.
        hint: what to do about it.
        headers: sent with the answer.
    """

    status: int
    code: str
    message: str
    details: str | Sequence[object] | None = None
    hint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def body(self) -> bytes:
        """The answer's JSON."""
        return json.dumps(self.document()).encode()

    def document(self) -> dict[str, Any]:
        """The four members that PostgREST's errors have."""
        return {"code": self.code, "details": self.details, "hint": self.hint, "message": self.message}


class ParseError(RestError):
    """The query string does not parse."""

    def __init__(self, message: str, details: str | None = None) -> None:
        super().__init__(400, "PGRST100", message, details)


class SchemaMiss(RestError):
    """The catalog as it was last read does not hold what was named."""


def unavailable(error: DatabaseUnavailable) -> RestError:
    """PGRST000 and PGRST003."""
    if isinstance(error, DatabaseBusy):
        return RestError(504, "PGRST003", "Timed out acquiring connection from connection pool.")
    return RestError(503, "PGRST000", "Database connection error. Retrying the connection.")


def table_missing(schema: str, name: str, hint: str | None = None) -> SchemaMiss:
    """PGRST205."""
    return SchemaMiss(
        404, "PGRST205", f"Could not find the table '{schema}.{name}' in the schema cache", None, hint
    )


def column_missing(relation: str, column: str) -> SchemaMiss:
    """PGRST204: a column to write."""
    message = f"Could not find the '{column}' column of '{relation}' in the schema cache"
    return SchemaMiss(400, "PGRST204", message)


def column_undefined(relation: str, column: str) -> SchemaMiss:
    """What Postgres says of a column to read."""
    return SchemaMiss(400, "42703", f"column {relation}.{column} does not exist")


def not_embedded(name: str) -> RestError:
    """PGRST108."""
    return RestError(
        400,
        "PGRST108",
        f"'{name}' is not an embedded resource in this request",
        None,
        f"Verify that '{name}' is included in the 'select' query parameter.",
    )


def bad_range(details: str, total: int | None = None) -> RestError:
    """PGRST103."""
    headers = {} if total is None else {"Content-Range": f"*/{total}"}
    return RestError(416, "PGRST103", "Requested range not satisfiable", details, None, headers)


def bad_body(message: str) -> RestError:
    """PGRST102."""
    return RestError(400, "PGRST102", message)


def not_single(count: int) -> RestError:
    """PGRST116."""
    message = "Cannot coerce the result to a single JSON object"
    return RestError(406, "PGRST116", message, f"The result contains {count} rows")


def bad_method(method: str) -> RestError:
    """PGRST117."""
    return RestError(405, "PGRST117", f"Unsupported HTTP method: {method}")


def null_character() -> RestError:
    """What Postgres says of a text with a NUL."""
    return RestError(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
