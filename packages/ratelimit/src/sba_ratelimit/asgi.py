"""Limits in front of any ASGI application, without a framework."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from sba_ratelimit.decision import Decision
from sba_ratelimit.limit import Limit
from sba_ratelimit.limiter import Limiter
from sba_ratelimit.routes import Scope, route_path

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Limits: TypeAlias = Sequence[Limit]

_COUNTED: Final = frozenset({"http", "websocket"})
_REFUSING: Final = "websocket.http.response"
_INITIALS: Final = frozenset({b"r", b"R"})  # of the three fields
_POLICY_VIOLATION: Final = 1008
_SWITCHED: Final = 101
_FAILED: Final = 500


def refusal(decision: Decision) -> ASGIApp:
    """The default answer: problem+json, 429 for a spent quota and 503 for an outage."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if decision.outage else HTTPStatus.TOO_MANY_REQUESTS
    body = json.dumps({"title": status.phrase, "status": status.value}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - what ASGI passes
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})

    return refuse


class RateLimitMiddleware:
    """Answers a denied request itself and puts the limit headers on every response.

    HTTP requests and WebSocket handshakes count. A WebSocket is refused before it opens: with the denied
    answer where the server can send one, with a close, which servers send as a 403, where it cannot.
    Middlewares may be nested: each adds its limits to those of what it protects, in the same header fields.
    Redis being away never raises here; the limits' outage policies decide.

    Args:
        app: What is protected.
        limiter: Decides; a function of the scope where it is made after the application.
        limits: The limits of a request, at once or awaited; an empty sequence lets it pass uncounted.
            `RouteLimits` makes them by route.
        denied: Makes the response to a denied request; a decision with `outage` is a 503, not a 429.
        exempt: Paths that are never limited, such as health checks.
        cost: Units of a request, or a function that tells; never above the burst of its limits.
        refund_when: Whether a response of this status gives the units back, such as
            `lambda status: status >= 500`. An application that raises counts as 500, an open WebSocket
            as 101. What time has given back before the response is not given back again; nor is what was
            admitted in an outage, or what a client has walked away from.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limiter: Limiter | Callable[[Scope], Limiter],
        limits: Callable[[Scope], Limits | Awaitable[Limits]],
        denied: Callable[[Decision], ASGIApp] = refusal,
        exempt: Collection[str] = (),
        cost: int | Callable[[Scope], int] = 1,
        refund_when: Callable[[int], bool] | None = None,
    ) -> None:
        self._app = app
        self._limiter = limiter
        self._limits = limits
        self._denied = denied
        self._exempt = frozenset(exempt)
        self._cost = cost
        self._refund_when = refund_when

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            CostTooLarge: `cost` is above the burst of a limit.
        """
        limits = await self._limits_of(scope)
        if not limits:
            await self._app(scope, receive, send)
            return
        limiter = self._limiter(scope) if callable(self._limiter) else self._limiter
        cost = self._cost(scope) if callable(self._cost) else self._cost
        decision = await limiter.check(limits, cost=cost)
        if not decision.allowed:
            await self._denied(decision)(scope, receive, with_headers(refusing(scope, send), decision))
        elif self._refund_when is None or decision.outage:
            await self._app(scope, receive, with_headers(send, decision))
        else:
            refund = partial(limiter.refund, limits, cost=cost, of=decision)
            await self._refunded(scope, receive, with_headers(send, decision), refund)

    async def _limits_of(self, scope: Scope) -> Limits:
        if scope["type"] not in _COUNTED or route_path(scope) in self._exempt:
            return ()
        limits = self._limits(scope)
        return await limits if inspect.isawaitable(limits) else limits

    async def _refunded(
        self, scope: Scope, receive: Receive, send: Send, refund: Callable[[], Awaitable[bool]]
    ) -> None:
        status = _FAILED

        async def noting(message: Message) -> None:
            nonlocal status
            status = _status(message, status)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            await self._settle(status, refund)
            raise
        await self._settle(status, refund)

    async def _settle(self, status: int, refund: Callable[[], Awaitable[bool]]) -> None:
        if self._refund_when is not None and self._refund_when(status):
            await refund()


def with_headers(send: Send, decision: Decision) -> Send:
    """A `send` that adds the decision's fields to the response.

    They are joined to the fields of the application; an answer to a denied request keeps its own.
    """

    async def sending(message: Message) -> None:
        if message["type"].endswith(("http.response.start", "websocket.accept")):
            message = {**message, "headers": _joined(message.get("headers", ()), decision)}
        await send(message)

    return sending


def refusing(scope: Scope, send: Send) -> Send:
    """A `send` for an HTTP answer, also to a WebSocket that has not been accepted."""
    if scope["type"] != "websocket":
        return send
    answered = _REFUSING in (scope.get("extensions") or {})

    async def sending(message: Message) -> None:
        kind = str(message["type"]).removeprefix("websocket.")
        if answered and kind.startswith("http.response."):
            await send({**message, "type": f"websocket.{kind}"})
        elif kind in {"http.response.start", "close"}:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})

    return sending


def _joined(present: Sequence[tuple[bytes, bytes]], decision: Decision) -> list[tuple[bytes, bytes]]:
    headers = [*present]
    places = {name.lower(): index for index, (name, _) in enumerate(headers) if name[:1] in _INITIALS}
    for name, value in decision.headers():
        field = name.lower().encode()
        at = places.get(field)
        if at is None:
            headers.append((field, value.encode()))
        elif decision.allowed:
            headers[at] = (headers[at][0], headers[at][1] + b", " + value.encode())
    return headers


def _status(message: Message, before: int) -> int:
    if message["type"].endswith("http.response.start"):
        return int(message["status"])
    return _SWITCHED if message["type"] == "websocket.accept" else before
