"""From a bearer token to a caller: who asks, for which tenant, within which limits."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar, cast
from uuid import UUID

from fastapi import Depends
from starlette.requests import Request
from starlette.types import Scope

from sba_api.limits import CallerLimits
from sba_api.problems import (
    TENANT_MALFORMED,
    TENANT_MISSING,
    ProblemError,
    not_found,
    problem_of,
    refused,
    request_id_of,
    unauthorized,
)
from sba_api.resources import Resources, resources_of
from sba_db.database import Database
from sba_db.errors import DatabaseError, MembershipDenied
from sba_db.sessions import Reader, TenantSession
from sba_ratelimit import Decision, Limiter
from sba_supabase.auth.principal import Principal
from sba_telemetry import get_logger

CALLER = "sba.caller"
RawHeaders = list[tuple[bytes, bytes]]
T = TypeVar("T")

_log = get_logger(__name__)
_SERVER_ERROR = 500
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks and for which tenant. Every way to data goes through a membership check."""

    user_id: UUID
    tenant_id: UUID
    request_id: str
    resources: Resources
    limits: CallerLimits
    taken: Decision

    @property
    def database(self) -> Database:
        """The database behind `reader` and `write`."""
        return self.resources.database

    def reader(self) -> Reader:
        """Reads of this tenant; each verifies the membership in its own round trip."""
        return self.database.reader(self.tenant_id, member=self.user_id)

    async def write(self, work: Callable[[TenantSession], Awaitable[T]], *, idempotent: bool = False) -> T:
        """Run `work` in one transaction of this tenant, opened only for a live member.

        Args:
            work: Takes the session; after a conflict all of it runs again.
            idempotent: Whether it may happen twice, so that a commit in doubt is repeated as well.
        """
        return await self.database.run(self.tenant_id, work, member=self.user_id, idempotent=idempotent)

    async def verify(self) -> None:
        """Check the membership alone, where nothing is read from the tenant's tables.

        Raises:
            MembershipDenied: the caller is no live member.
        """
        await self.database.verify_member(self.tenant_id, self.user_id)


async def admit(scope: Scope) -> tuple[Caller, RawHeaders]:
    """The caller of this request and the limit headers its answer carries.

    Raises:
        ProblemError: 400, 403 or 429.
        TokenError: the token is not good.
        MembershipDenied: the header picks a tenant the caller is no live member of.
    """
    resources = resources_of(scope)
    token, picked = _credentials(scope)
    principal = await resources.verifier.verify(token)
    tenant_id = await _choose_tenant(resources, principal, picked)
    limits = resources.limits(tenant_id, principal.user_id, f"{scope['method']} {scope['route'].path}")
    taken = await _charge(resources.limiter, limits)
    headers = [(name.lower().encode(), value.encode()) for name, value in taken.headers()]
    return Caller(principal.user_id, tenant_id, request_id_of(scope), resources, limits, taken), headers


async def _choose_tenant(resources: Resources, principal: Principal, picked: UUID | None) -> UUID:
    """The signed tenant, or the picked one once membership is proven; `settle` sees to a stale signature."""
    if picked is None:
        if principal.tenant_id is None:
            raise ProblemError(TENANT_MISSING)
        return principal.tenant_id
    if picked != principal.tenant_id:
        await resources.database.verify_member(picked, principal.user_id)
    return picked


async def _charge(limiter: Limiter, limits: CallerLimits) -> Decision:
    decision = await limiter.check(limits.all)
    if not decision.allowed:
        raise ProblemError(refused(decision))
    return decision


async def settle(caller: Caller, error: Exception) -> None:
    """Give the tenant back what an outsider's request took from its share; the user's own stays taken.

    A request that was refused before it came to the tenant's rows has proven no membership: it is proven
    here, or a revoked member could use up the share with requests that are wrong on purpose.

    Args:
        caller: Who was admitted and charged.
        error: What ended the request; the caller of this function raises it again.

    Raises:
        MembershipDenied: the request was wrong, and its caller is no live member either.
    """
    if isinstance(error, MembershipDenied):
        await _give_back(caller)
    elif problem_of(error).status < _SERVER_ERROR:
        await _prove_membership(caller)


async def _prove_membership(caller: Caller) -> None:
    try:
        await caller.verify()
    except MembershipDenied:
        await _give_back(caller)
        raise
    except DatabaseError as error:
        _log.warning("membership.unproven", reason=type(error).__name__)


async def _give_back(caller: Caller) -> None:
    await caller.resources.limiter.refund([caller.limits.tenant], of=caller.taken)


def _credentials(scope: Scope) -> tuple[str, UUID | None]:
    tokens: list[bytes] = []
    tenants: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"authorization":
            tokens.append(value)
        elif name == b"x-tenant-id":
            tenants.append(value)
    return _bearer(tokens), _picked(tenants)


def _bearer(values: list[bytes]) -> str:
    if not values:
        raise ProblemError(unauthorized("token_missing"))
    text = values[0].decode("latin-1")
    if len(values) > 1 or not text[: len(_BEARER)].lower() == _BEARER:
        raise ProblemError(unauthorized("token_malformed"))
    return text[len(_BEARER) :].strip()


def _picked(values: list[bytes]) -> UUID | None:
    if not values:
        return None
    tenant = parse_uuid(values[0].decode("latin-1")) if len(values) == 1 else None
    if tenant is None:
        raise ProblemError(TENANT_MALFORMED)
    return tenant


def parse_uuid(text: str) -> UUID | None:
    """The UUID that `text` is in its usual form, or None."""
    return UUID(text) if _UUID.fullmatch(text) else None


def path_id(text: str, kind: str) -> UUID:
    """The id in a path; one that cannot exist is as unknown as any other.

    Raises:
        ProblemError: 404 of that kind.
    """
    found = parse_uuid(text)
    if found is None:
        raise ProblemError(not_found(kind))
    return found


async def caller_of(request: Request) -> Caller:
    """The admitted caller; routes ask for it as `CurrentCaller`."""
    return cast("Caller", request.scope[CALLER])


CurrentCaller = Annotated[Caller, Depends(caller_of)]
