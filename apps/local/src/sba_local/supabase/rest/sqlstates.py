"""From what Postgres reports to what PostgREST answers (PostgREST: references/errors)."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import psycopg

from sba_local.supabase.rest.errors import RestError, null_character

_EXACT: Final = {
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53400": 500,
    "P0001": 400,
}
_CLASSES: Final = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "XX": 500,
}
_STATUS_IN_STATE: Final = re.compile(r"PT([1-5]\d\d)")
_DENIED: Final = "42501"
_CARDINALITY: Final = "21000"
_GUARDED: Final = "requires a WHERE clause"


def status_of(sqlstate: str, message: str = "", *, anonymous: bool) -> int:
    """The HTTP status of a SQLSTATE.

    Args:
        sqlstate: five characters.
        message: what Postgres says of it, which tells a guarded statement from another cardinality violation.
        anonymous: whether nobody is signed in, which turns "forbidden" into "unauthorized".
    """
    if sqlstate == _DENIED:
        return 401 if anonymous else 403
    if sqlstate == _CARDINALITY:
        return 400 if message.endswith(_GUARDED) else 500
    chosen = _STATUS_IN_STATE.fullmatch(sqlstate)
    if chosen is not None:
        return int(chosen[1])
    return _EXACT.get(sqlstate) or _CLASSES.get(sqlstate[:2], 400)


def translate(error: psycopg.Error, *, anonymous: bool) -> RestError:
    """The answer to a statement that failed."""
    sqlstate = error.sqlstate
    if sqlstate is None:
        return _without_state(error)
    if sqlstate == "PGRST":
        return _raised(error)
    diagnostics = error.diag
    status = status_of(sqlstate, diagnostics.message_primary or "", anonymous=anonymous)
    return RestError(
        status,
        sqlstate,
        diagnostics.message_primary or "",
        diagnostics.message_detail,
        diagnostics.message_hint,
        {"WWW-Authenticate": "Bearer"} if sqlstate == _DENIED and anonymous else {},
    )


def _without_state(error: psycopg.Error) -> RestError:
    if isinstance(error, psycopg.DataError):
        return null_character()
    return RestError(503, "PGRST001", "Database client error. Retrying the connection.")


def _raised(error: psycopg.Error) -> RestError:
    """A function's own choice of status, headers and body: RAISE SQLSTATE 'PGRST'."""
    try:
        said: dict[str, Any] = json.loads(error.diag.message_primary or "")
        how: dict[str, Any] = json.loads(error.diag.message_detail or "")
        return RestError(
            _status(how["status"]),
            str(said["code"]),
            str(said["message"]),
            said.get("details"),
            said.get("hint"),
            {str(name): str(value) for name, value in how.get("headers", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return RestError(500, "PGRST121", "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error")


def _status(chosen: object) -> int:
    status = int(str(chosen))
    if not 200 <= status <= 599:  # noqa: PLR2004  # what a final answer may have
        raise ValueError
    return status
