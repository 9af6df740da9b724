"""What the clients of one tenant and of one user may send, counted across nodes."""

from __future__ import annotations

from typing import Final, Protocol

from sba_ratelimit import Limit, Quota
from sba_ratelimit.events import Verdict
from sba_ws.client import Client
from sba_ws.errors import Refused
from sba_ws.limits import Limits
from sba_ws.refusals import RETRY_SOON

_MINUTE = 60
_SPENT: Final = "too many events of this user or tenant"
_AWAY: Final = "a dependency does not answer at the moment"


class Taking(Protocol):
    """What is needed of `sba_ratelimit.EventLimiter`."""

    def take_now(self, limits: tuple[Limit, ...], *, cost: int = 1) -> Verdict | None:
        """Decide at once, or None."""

    async def take(self, limits: tuple[Limit, ...], *, cost: int = 1) -> Verdict:
        """Take the cost from every limit, or from none."""


class Shares:
    """Lets an event in while its tenant and its user have units left.

    Args:
        events: Takes units, in blocks.
        limits: How many.
    """

    def __init__(self, events: Taking, limits: Limits) -> None:
        self._events = events
        self._tenant = _quota(limits.events_per_tenant, "ws-tenant")
        self._user = _quota(limits.events_per_user, "ws-user")

    async def __call__(self, client: Client) -> Refused | None:
        """Take one event of this client; why not, when it may not be heard."""
        if not client.shares:
            client.shares = self._of(client)
        verdict = self._events.take_now(client.shares) or await self._events.take(client.shares)
        if verdict.allowed:
            return None
        if verdict.outage:
            return Refused("unavailable", _AWAY, retry_after=max(verdict.retry_after, RETRY_SOON))
        return Refused("rate_limited", _SPENT, retry_after=verdict.retry_after)

    def _of(self, client: Client) -> tuple[Limit, ...]:
        tenant = ("tenant", client.tenant_id)
        return (
            Limit.of(self._tenant, *tenant),
            Limit.of(self._user, *tenant, "user", client.user_id),
        )


def _quota(per_minute: int, name: str) -> Quota:
    return Quota(per_minute, per=_MINUTE, name=name, on_outage="local")
