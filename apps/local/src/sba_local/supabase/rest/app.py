"""The ASGI application."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, Self
from urllib.parse import unquote

import psycopg

from sba_local.supabase.connections import Connection, Connections
from sba_local.supabase.errors import DatabaseUnavailable, LoginTooPowerful
from sba_local.supabase.rest.catalog import Catalog, read_catalog
from sba_local.supabase.rest.errors import RestError, SchemaMiss, unavailable
from sba_local.supabase.rest.exchange import ROLES, Answer, Plan, Request, RestSettings
from sba_local.supabase.rest.planning import plan
from sba_local.supabase.rest.session import perform

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_JSON: Final = ("Content-Type", "application/json; charset=utf-8")
_ALLOW: Final = ("Allow", "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE")
_UNPRINTABLE: Final = re.compile(r"[^\t\x20-\x7e\xa0-\xff]")
_DEFAULTS: Final = RestSettings()


class RestApp:
    """A stand-in for PostgREST: tables, views and functions of one database over HTTP. For development only.

    Whoever mounts it has verified the caller already and says who it is: `scope["state"]["role"]` is the
    database role (`anon`, `authenticated` or `service_role`) and `scope["state"]["claims"]` are the claims of
    the token. Without them nothing is answered.

    Args:
        database_url: with the login that `ensure_authenticator` makes.
        settings: what is exposed, and limits.
    """

    def __init__(self, database_url: str, *, settings: RestSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._connections = Connections(
            database_url, most=settings.connections, timeout=settings.connection_timeout
        )
        self._catalog: Catalog | None = None
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the database connections."""
        await self._connections.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(await self._request(scope, receive))
        except RestError as error:
            answer = _refusal(error)
        except DatabaseUnavailable as error:
            answer = _refusal(unavailable(error))
        except LoginTooPowerful as error:
            answer = _refusal(RestError(503, "PGRST000", str(error)))
        await _send(send, answer, bodiless=scope["method"] == "HEAD")

    async def _answer(self, request: Request) -> Answer:
        if request.method == "OPTIONS":
            return Answer(200, (_ALLOW,))
        async with self._connections.lend() as connection:
            chosen = await self._plan(connection, request)
            return await perform(connection, request, chosen, self._settings)

    async def _plan(self, connection: Connection, request: Request) -> Plan:
        """Plan with the catalog as it is known; what is missing there may have been made since."""
        known = self._catalog
        if known is not None:
            try:
                return plan(request, known, self._settings)
            except SchemaMiss:
                pass
        return plan(request, await self._fresh(connection, known), self._settings)

    async def _fresh(self, connection: Connection, known: Catalog | None) -> Catalog:
        async with self._reading:
            if self._catalog is None or self._catalog is known:
                self._catalog = await self._read(connection)
            return self._catalog

    async def _read(self, connection: Connection) -> Catalog:
        try:
            return await read_catalog(connection, self._settings.schemas)
        except psycopg.Error:
            message = "Could not query the database for the schema cache. Retrying."
            raise RestError(503, "PGRST002", message) from None

    async def _request(self, scope: Scope, receive: Receive) -> Request:
        state = scope.get("state") or {}
        role, claims = state.get("role"), state.get("claims")
        if role not in ROLES or not isinstance(claims, Mapping):
            raise RestError(401, "PGRST301", "No verified identity", headers={"WWW-Authenticate": "Bearer"})
        headers = _headers(scope)
        return Request(
            method=scope["method"],
            path=scope["path"],
            segments=self._segments(scope),
            query=scope.get("query_string", b""),
            headers=headers,
            body=await self._body(receive),
            role=role,
            claims=claims,
        )

    def _segments(self, scope: Scope) -> tuple[str, ...]:
        raw: bytes | None = scope.get("raw_path")
        path = raw.decode("latin-1").partition("?")[0] if raw else scope["path"]
        below = path.removeprefix(self._settings.prefix).strip("/")
        parts = below.split("/") if below else []
        return tuple(unquote(part) if raw else part for part in parts)

    async def _body(self, receive: Receive) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._settings.max_body:
                raise RestError(413, "PGRST102", "Request body too large")
        return bytes(body)


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _refusal(error: RestError) -> Answer:
    cause = ("Proxy-Status", f"PostgREST; error={error.code}")
    return Answer(error.status, (_JSON, cause, *error.headers.items()), error.body())


def _printable(text: str) -> bytes:
    """A header's name or value as it may be sent, whatever a function of the database chose."""
    return _UNPRINTABLE.sub("?", text).encode("latin-1")


async def _send(send: Send, answer: Answer, *, bodiless: bool) -> None:
    body = b"" if bodiless else answer.body
    headers = [(_printable(name.lower()), _printable(value)) for name, value in answer.headers]
    if answer.status != 204:  # noqa: PLR2004  # no content has no length either
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
