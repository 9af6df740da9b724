"""Limits in front of any ASGI application, without a framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from typing import Any, TypeAlias

from sba_ratelimit.decision import Decision
from sba_ratelimit.limit import Limit
from sba_ratelimit.limiter import Limiter

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class RateLimitMiddleware:
    """Answers a denied request itself and puts the limit headers on every response.

    Only `http` scopes are limited. Headers are added, not replaced: each middleware and handler may
    report its own limits.

    Args:
        app: What is protected.
        limiter: Decides.
        limits: The limits of a request; an empty sequence lets it pass uncounted.
        denied: Makes the response to a denied request; a decision with `outage` is a 503, not a 429.
        exempt: Paths that are never limited, such as health checks.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limiter: Limiter,
        limits: Callable[[Scope], Sequence[Limit]],
        denied: Callable[[Decision], ASGIApp],
        exempt: Collection[str] = (),
    ) -> None:
        self._app = app
        self._limiter = limiter
        self._limits = limits
        self._denied = denied
        self._exempt = frozenset(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        limits = self._limits(scope) if self._counts(scope) else ()
        if not limits:
            await self._app(scope, receive, send)
            return
        decision = await self._limiter.check(limits)
        app = self._app if decision.allowed else self._denied(decision)
        await app(scope, receive, with_headers(send, decision))

    def _counts(self, scope: Scope) -> bool:
        return scope["type"] == "http" and scope["path"] not in self._exempt


def with_headers(send: Send, decision: Decision) -> Send:
    """A `send` that adds the decision's headers to the response."""
    added = [(name.lower().encode(), value.encode()) for name, value in decision.headers()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_missing(message, added)]}
        await send(message)

    return sending


def _missing(message: Message, added: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    present = {bytes(name).lower() for name, _ in message.get("headers", ())}
    return [field for field in added if field[0] != b"retry-after" or field[0] not in present]
