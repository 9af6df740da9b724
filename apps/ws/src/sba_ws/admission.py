"""The first door: which requests reach Socket.IO at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from urllib.parse import parse_qs

from sba_ratelimit import Limit, address
from sba_telemetry.metrics import counter
from sba_ws.answers import Answer, Receive, Scope, Send, problem
from sba_ws.handshake import Limiter
from sba_ws.limits import Limits

_MINUTE = 60
_RETRY_FULL = 5.0
_DIGITS = 18

_TURNED_AWAY = counter("sba.ws.turned_away", description="New sockets turned away at the door, by reason")


class Admission:
    """Lets new sockets in while there is room and their address has not made too many.

    Args:
        gateway: The Socket.IO application behind the door.
        sockets: The sockets that are open.
        limiter: Counts new sockets of an address, across nodes.
        trusted: Proxies whose forwarding header is believed.
        limits: How many.

    Attributes:
        draining: No new socket is let in any more.
    """

    def __init__(
        self,
        gateway: Callable[[Scope, Receive, Send], Awaitable[Any]],
        *,
        sockets: Collection[object],
        limiter: Limiter,
        trusted: Sequence[IPv4Network | IPv6Network],
        limits: Limits,
    ) -> None:
        self._gateway = gateway
        self._sockets = sockets
        self._limiter = limiter
        self._trusted = trusted
        self._limits = limits
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or hand on."""
        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, send)
            return
        await self._gateway(scope, receive, send)

    async def _refusal(self, scope: Scope) -> Answer | None:
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if "j" in query:
            return problem(400, "jsonp_refused", "JSONP is not served.")
        if _declared_size(scope) > self._limits.message_bytes:
            return problem(413, "body_too_large", "The body is larger than this service accepts.")
        if "sid" in query or scope.get("method") == "OPTIONS":
            return None
        return self._no_room() or await self._too_many(scope)

    def _no_room(self) -> Answer | None:
        if self.draining or len(self._sockets) >= self._limits.connections:
            _TURNED_AWAY.add(1, {"reason": "draining" if self.draining else "full"})
            return problem(503, "unavailable", "No new connections here now.", retry_after=_RETRY_FULL)
        return None

    async def _too_many(self, scope: Scope) -> Answer | None:
        client = address.client_address(scope, self._trusted)
        count = self._limits.connects_per_address
        limit = Limit(count, per=_MINUTE, key=("address", client), name="ws-connect", on_outage="local")
        decision = await self._limiter.check([limit])
        if decision.allowed:
            return None
        _TURNED_AWAY.add(1, {"reason": "address"})
        return problem(429, "rate_limited", "Too many new connections.", retry_after=decision.retry_after)


def _declared_size(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:_DIGITS])
    return 0
