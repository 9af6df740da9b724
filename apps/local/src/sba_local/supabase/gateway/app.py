"""The ASGI application in front of all services."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sba_local.identity import Issuer
from sba_local.supabase.auth.app import AuthApp
from sba_local.supabase.functions import FunctionsApp, Handler
from sba_local.supabase.gateway.identity import Identity, KeyProblem, Keys, identify
from sba_local.supabase.gateway.refusals import refuse_token
from sba_local.supabase.installing import Logins
from sba_local.supabase.rest import RestApp
from sba_local.supabase.storage.app import StorageApp

_SERVICE: Final = re.compile(r"/(rest|auth|functions|storage)/v1(?:/|$)")
_WITHOUT_KEY: Final = re.compile(r"/storage/v1/object/(?:public|info/public|sign|upload/sign)/")
_CORS: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    "access-control-max-age": "3600",
}
_EXPOSED: Final = b"content-range, content-location, location, range-unit, x-total-count, link"


@dataclass(frozen=True, slots=True)
class Project:
    """What the stand-in serves.

    Attributes:
        logins: how its services connect to the database.
        keys: the API keys.
        files: where objects are kept.
        functions: handlers by name.
    """

    logins: Logins
    keys: Keys
    files: Path
    functions: Mapping[str, Handler] = field(default_factory=dict)


class Gateway:
    """A stand-in for a Supabase project: REST, auth, functions and storage. For development and tests only.

    Args:
        project: what it serves.
        issuer: signs and knows its tokens.
    """

    def __init__(self, project: Project, issuer: Issuer) -> None:
        self._keys = project.keys
        self._issuer = issuer
        self._rest = RestApp(project.logins.rest)
        self._auth = AuthApp(project.logins.auth, issuer)
        self._storage = StorageApp(project.logins.storage, project.files, clock=issuer.clock)
        self._services: Mapping[str, ASGIApp] = {
            "rest": self._rest,
            "auth": self._auth,
            "functions": FunctionsApp(project.functions),
            "storage": self._storage,
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what the services hold."""
        async with AsyncExitStack() as exits:
            for service in (self._rest, self._auth, self._storage):
                exits.push_async_callback(service.aclose)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = _headers(scope)
        send = _with_origin(send) if "origin" in headers else send
        found = _SERVICE.match(scope["path"])
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(headers)(scope, receive, send)
        elif found is None:
            await _not_found()(scope, receive, send)
        else:
            await self._serve(found[1], headers, scope, receive, send)

    async def _serve(
        self, service: str, headers: Mapping[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        needs_key = _WITHOUT_KEY.match(scope["path"]) is None and service != "functions"
        identity = identify(
            headers,
            scope.get("query_string", b""),
            keys=self._keys,
            issuer=self._issuer,
            needs_key=needs_key,
        )
        refusal = _refusal(service, identity, headers)
        if refusal is not None or isinstance(identity, KeyProblem):
            await (refusal or _not_found())(scope, receive, send)
            return
        state = {"role": identity.role, "claims": dict(identity.claims), "refused": identity.refused}
        await self._services[service]({**scope, "state": state}, receive, send)


def _refusal(service: str, identity: Identity | KeyProblem, headers: Mapping[str, str]) -> Response | None:
    """What to answer in the service's place; auth judges tokens itself, for signing in needs none."""
    if isinstance(identity, KeyProblem):
        return JSONResponse({"message": identity.message, "hint": identity.hint}, status_code=401)
    if service == "functions" and "authorization" not in headers and "apikey" not in headers:
        return JSONResponse({"code": 401, "message": "Missing authorization header"}, status_code=401)
    if identity.refused and service != "auth":
        return refuse_token(service, identity)
    return None


def _not_found() -> Response:
    return JSONResponse({"message": "no Route matched with those values"}, status_code=404)


def _preflight(headers: Mapping[str, str]) -> Response:
    allowed = headers.get("access-control-request-headers", "")
    return Response(status_code=204, headers={**_CORS, "access-control-allow-headers": allowed})


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _with_origin(send: Send) -> Send:
    """Let pages of other origins read the answer: keys and tokens protect it, not where a page is from."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", [])]
            if not any(name.lower() == b"access-control-allow-origin" for name, _ in headers):
                headers.append((b"access-control-allow-origin", b"*"))
            headers.append((b"access-control-expose-headers", _EXPOSED))
            message = {**message, "headers": headers}
        await send(message)

    return sending
