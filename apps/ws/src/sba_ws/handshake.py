"""Who may connect: a valid token, a live membership, and not too often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sba_ratelimit import Decision, Limit
from sba_supabase import Principal
from sba_ws.errors import Refused
from sba_ws.limits import Limits

_MINUTE = 60


class Verifier(Protocol):
    """What is needed of `sba_supabase.TokenVerifier`."""

    async def verify(self, token: str | None) -> Principal:
        """The token's bearer."""


class Limiter(Protocol):
    """What is needed of `sba_ratelimit.Limiter`."""

    async def check(self, limits: list[Limit]) -> Decision:
        """Take one unit of each limit, or of none."""


VerifyMember = Callable[[UUID, UUID], Awaitable[None]]
"""Checks that the user (second) is a live member of the tenant (first)."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Someone who may connect.

    Attributes:
        principal: The token's bearer.
        tenant_id: The tenant of the connection, a live membership of the bearer.
        chosen_tenant: The tenant that was asked for by name, None when the token's was taken.
    """

    principal: Principal
    tenant_id: UUID
    chosen_tenant: UUID | None


class Handshake:
    """Decides on ``auth: {token, tenant_id?}``.

    Args:
        verifier: Verifies tokens.
        verify_member: Checks membership, every time.
        limiter: Counts completed handshakes of a user, across nodes.
        limits: How many.
        wall_clock: Seconds since the epoch.
    """

    def __init__(
        self,
        *,
        verifier: Verifier,
        verify_member: VerifyMember,
        limiter: Limiter,
        limits: Limits,
        wall_clock: Callable[[], float],
    ) -> None:
        self._verifier = verifier
        self._verify_member = verify_member
        self._limiter = limiter
        self._limits = limits
        self._wall_clock = wall_clock

    async def admit(self, auth: object) -> Admission:
        """Decide on a new connection.

        Args:
            auth: What the client sent, anything at all.

        Raises:
            Refused: With the code to tell the client.
            TokenError: The token is refused.
            KeysUnavailable: The token cannot be judged now.
            DatabaseError: Not a member, or the database cannot say.
        """
        claims = auth if isinstance(auth, dict) else {}
        chosen = _tenant(claims.get("tenant_id"))
        admission = await self.identify(claims.get("token"), chosen)
        await self._count(admission.principal.user_id)
        return admission

    async def identify(self, token: object, chosen_tenant: UUID | None) -> Admission:
        """Verify a token and the membership it is used for; raises as `admit` does."""
        principal = await self._verifier.verify(_text(token))
        if principal.expires_at <= self._wall_clock():
            raise Refused("token_expired", "the token has expired")
        tenant_id = chosen_tenant or principal.tenant_id
        if tenant_id is None:
            raise Refused("tenant_missing", "the token names no tenant: pick one with tenant_id")
        await self._verify_member(tenant_id, principal.user_id)
        return Admission(principal, tenant_id, chosen_tenant)

    async def _count(self, user_id: UUID) -> None:
        count = self._limits.connects_per_user
        limit = Limit(
            count, per=_MINUTE, key=("user", str(user_id)), name="ws-connect-user", on_outage="local"
        )
        decision = await self._limiter.check([limit])
        if not decision.allowed:
            raise Refused("rate_limited", "too many connections", retry_after=decision.retry_after)


def _text(token: object) -> str | None:
    if token is None or isinstance(token, str):
        return token
    raise Refused("token_malformed", "the token is malformed")


def _tenant(value: object) -> UUID | None:
    if value is None:
        return None
    try:
        return UUID(value)  # type: ignore[arg-type]  # anything but a text ends as the refusal below
    except (ValueError, TypeError, AttributeError):
        raise Refused("tenant_malformed", "tenant_id must be a UUID") from None
