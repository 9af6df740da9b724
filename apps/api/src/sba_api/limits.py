"""Every limit of a request: by address before anyone is known; by tenant, user and route after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from sba_api.problems import problem_answer, refused
from sba_api.settings import ApiSettings
from sba_ratelimit import Decision, Limit, Quota, client_address

EXEMPT: Final = ("/healthz", "/readyz", "/metrics")
ROUTES: Final[Mapping[str, str]] = {
    "POST /v1/runs": "run_limit",
    "POST /v1/knowledge/documents": "document_limit",
    "POST /v1/knowledge/search": "search_limit",
    "POST /v1/tools/{name}/execute": "tool_limit",
}
"""Routes on which a user has a limit besides the one for all of them, and the setting that says it."""

_MINUTE = 60
_REMEMBERED = 8_192


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """The limits of an admitted request, all in the tenant's hash slot: decided in one call.

    Attributes:
        tenant: Of all its members together.
        others: Of this user, and of this user on this route.
    """

    tenant: Limit
    others: tuple[Limit, ...]

    @property
    def all(self) -> tuple[Limit, ...]:
        """What a request is charged to."""
        return (self.tenant, *self.others)


def caller_limits(settings: ApiSettings) -> Callable[[UUID, UUID, str], CallerLimits]:
    """A function of tenant, user and `METHOD /path/template` that remembers its answers."""
    tenants = _quota(settings, settings.tenant_limit, "tenant")
    users = _quota(settings, settings.user_limit, "user")
    routes = {route: _quota(settings, getattr(settings, name), "route") for route, name in ROUTES.items()}

    @lru_cache(maxsize=_REMEMBERED)
    def limits(tenant_id: UUID, user_id: UUID, route: str) -> CallerLimits:
        user = ("tenant", tenant_id, "user", user_id)
        others = [Limit.of(users, *user)]
        if route in routes:
            others.append(Limit.of(routes[route], *user, "route", route))
        return CallerLimits(Limit.of(tenants, "tenant", tenant_id), tuple(others))

    return limits


def address_limits(settings: ApiSettings) -> Callable[[Scope], tuple[Limit]]:
    """The limit of a request's address (IPv6: its /64), as far as our proxies vouch for it."""
    quota = _quota(settings, settings.address_limit, "address")
    trusted = tuple(settings.trusted_proxies)

    @lru_cache(maxsize=_REMEMBERED)
    def of_address(address: str) -> tuple[Limit]:
        return (Limit.of(quota, "address", address),)

    @lru_cache(maxsize=_REMEMBERED)
    def of_peer(host: str) -> tuple[Limit]:
        return of_address(client_address({"client": (host, 0)}, ()))

    def limits(scope: Scope) -> tuple[Limit]:
        if trusted:
            return of_address(client_address(scope, trusted))
        return of_peer((scope.get("client") or ("",))[0])

    return limits


def refusal(decision: Decision) -> ASGIApp:
    """The answer to a request whose address may ask no more now."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await problem_answer(scope, refused(decision))(scope, receive, send)

    return answer


def _quota(settings: ApiSettings, per_minute: int, name: str) -> Quota:
    return Quota(per_minute, per=_MINUTE, name=name, on_outage=settings.rate_limit_outage)
