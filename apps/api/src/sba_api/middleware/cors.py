"""Cross-origin answers to exactly the origins that were configured, never with credentials."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sba_api.problems import ORIGIN_REFUSED, problem_answer

_METHODS = "GET, POST, DELETE"
_REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, Traceparent, X-Request-Id, X-Tenant-Id"
_EXPOSED = b"Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
_MAX_AGE = "600"


class Cors:
    """Adds CORS headers for `origins` (exact strings); with none configured it is not there at all."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or not self._origins:
            await self._app(scope, receive, send)
            return
        origin = _header(scope, b"origin")
        if origin is not None and _is_preflight(scope):
            await self._preflight(scope, receive, self._varied(origin, send), origin)
        else:
            await self._app(scope, receive, self._varied(origin, send))

    async def _preflight(self, scope: Scope, receive: Receive, send: Send, origin: bytes) -> None:
        if origin not in self._origins:
            await problem_answer(scope, ORIGIN_REFUSED)(scope, receive, send)
            return
        allowed = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _REQUEST_HEADERS,
            "Access-Control-Max-Age": _MAX_AGE,
        }
        await Response(status_code=204, headers=allowed)(scope, receive, send)

    def _varied(self, origin: bytes | None, send: Send) -> Send:
        added = [(b"vary", b"Origin")]
        if origin in self._origins and origin is not None:
            added += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]

        async def send_varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        return send_varied


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method") is not None


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
