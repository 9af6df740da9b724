"""One request, one transaction, as the request's own role (PostgREST: references/transactions)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from http.cookies import CookieError, SimpleCookie
from typing import Final

import psycopg
from psycopg import sql

from sba_local.supabase.connections import Connection
from sba_local.supabase.rest.errors import RestError
from sba_local.supabase.rest.exchange import Answer, Outcome, Plan, Request, RestSettings
from sba_local.supabase.rest.preferences import refused
from sba_local.supabase.rest.sqlstates import translate

_SETTINGS: Final = """
select
    set_config('transaction_read_only', %(read_only)s, true),
    set_config('statement_timeout', %(timeout)s, true),
    set_config('search_path', %(path)s, true),
    set_config('request.jwt.claims', %(claims)s, true),
    set_config('request.headers', %(headers)s, true),
    set_config('request.cookies', %(cookies)s, true),
    set_config('request.method', %(method)s, true),
    set_config('request.path', %(target)s, true),
    set_config('response.headers', '', true),
    set_config('response.status', '', true),
    set_config('role', %(role)s, true)
"""
_TIMEZONE: Final = """
select set_config('timezone', name, true) from pg_catalog.pg_timezone_names where name = %(name)s
"""
_RESPONSE: Final = (
    "select current_setting('response.headers', true), current_setting('response.status', true)"
)
_BREAKS: Final = re.compile(r"[\r\n]")
_EXPLAIN: Final = sql.SQL("explain (format json) {}")


async def perform(connection: Connection, request: Request, plan: Plan, settings: RestSettings) -> Answer:
    """Carry out a plan.

    Raises:
        RestError: it failed; nothing of it was kept.
    """
    try:
        async with connection.transaction(force_rollback=request.preferences.rollback):
            await connection.execute(_SETTINGS, _settings(request, plan, settings))
            zone = await _timezone(connection, request)
            answer = plan.respond(await _outcome(connection, plan))
            answer = await _altered(connection, answer)
    except psycopg.Error as error:
        raise translate(error, anonymous=request.role == "anon") from None
    return replace(answer, headers=(*answer.headers, *zone))


def _settings(request: Request, plan: Plan, settings: RestSettings) -> dict[str, str]:
    searched = (*settings.schemas, *settings.extra_search_path)
    return {
        "read_only": "on" if plan.read_only else "off",
        "timeout": str(settings.statement_timeout),
        "path": ", ".join('"' + name.replace('"', '""') + '"' for name in searched),
        "claims": json.dumps({**request.claims, "role": request.role}),
        "headers": json.dumps(dict(request.headers)),
        "cookies": json.dumps(_cookies(request.headers.get("cookie", ""))),
        "method": request.method,
        "target": "/" + "/".join(request.segments),
        "role": request.role,
    }


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


async def _timezone(connection: Connection, request: Request) -> tuple[tuple[str, str], ...]:
    name = request.preferences.timezone
    if name is None:
        return ()
    if await (await connection.execute(_TIMEZONE, {"name": name})).fetchone() is not None:
        return (("Preference-Applied", f"timezone={name}"),)
    if request.preferences.strict:
        raise refused([f"timezone={name}"])
    return ()


async def _outcome(connection: Connection, plan: Plan) -> Outcome:
    if plan.statement is None:
        return Outcome()
    row = await (await connection.execute(plan.statement, plan.binds.values)).fetchone()
    assert row is not None  # noqa: S101  # an aggregate without groups answers one row
    return Outcome(row[0], row[1], row[2:], await _planned(connection, plan))


async def _planned(connection: Connection, plan: Plan) -> int | None:
    if plan.estimate is None:
        return None
    cursor = await connection.execute(_EXPLAIN.format(plan.estimate), plan.binds.values)
    row = await cursor.fetchone()
    return None if row is None else int(row[0][0]["Plan"]["Plan Rows"])


async def _altered(connection: Connection, answer: Answer) -> Answer:
    """The answer with the headers and status that a function chose."""
    row = await (await connection.execute(_RESPONSE)).fetchone()
    headers, status = row or (None, None)
    if headers:
        chosen = _headers(headers)
        names = {name.lower() for name, _ in chosen}
        kept = tuple(pair for pair in answer.headers if pair[0].lower() not in names)
        answer = replace(answer, headers=(*kept, *chosen))
    return replace(answer, status=_status(status)) if status else answer


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    try:
        return tuple((name, _BREAKS.sub("", value)) for name, value in _singles(json.loads(text)))
    except (ValueError, TypeError, AttributeError):
        raise RestError(
            500,
            "PGRST111",
            "response.headers guc must be a JSON array composed of objects with a single key and a string "
            "value",
        ) from None


def _singles(listed: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    if not isinstance(listed, list):
        raise TypeError
    for one in listed:
        ((name, value),) = one.items()
        yield name, value


def _status(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) == 3:  # noqa: PLR2004  # an HTTP status
        return int(text)
    raise RestError(500, "PGRST112", "response.status guc must be a valid status code")
