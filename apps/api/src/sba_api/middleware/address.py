"""The first rate limit: by network address, before anyone is authenticated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from sba_api.problems import problem_answer, rate_limited
from sba_api.resources import resources_of
from sba_ratelimit import Limit
from sba_ratelimit.address import client_address
from sba_supabase.variables import Network

_EXEMPT = frozenset({"/healthz", "/readyz", "/metrics"})
_MINUTE = 60


class AddressLimit:
    """Answers 429 once an address (IPv6: its /64) has used `per_minute` requests."""

    def __init__(self, app: ASGIApp, *, per_minute: int, trusted: Sequence[Network]) -> None:
        self._app = app
        self._per_minute = per_minute
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["path"] in _EXEMPT:
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope)
        decision = await resources_of(scope).limiter.check((limit,))
        if decision.allowed:
            await self._app(scope, receive, send)
        else:
            await problem_answer(scope, rate_limited(decision))(scope, receive, send)

    def _limit(self, scope: Scope) -> Limit:
        if self._trusted:
            return _limit(client_address(scope, self._trusted), self._per_minute)
        return _limit_of_peer((scope.get("client") or ("",))[0], self._per_minute)


@lru_cache(maxsize=4_096)
def _limit_of_peer(host: str, per_minute: int) -> Limit:
    return _limit(client_address({"client": (host, 0)}, ()), per_minute)


@lru_cache(maxsize=4_096)
def _limit(address: str, per_minute: int) -> Limit:
    return Limit(per_minute, per=_MINUTE, key=("address", address), name="address", on_outage="local")
