"""A new version of an RPC or an edge function, for a sticky share of the tenants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from sba_resilience.canary import Canary
from sba_supabase.clients.client import Client
from sba_supabase.clients.tenancy import TenantClient
from sba_supabase.errors import TenantUnset

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_NOTHING: Final[Mapping[str, Any]] = {}


class Call(Protocol[T_co]):
    """An `Rpc` or an `EdgeFunction`."""

    async def __call__(self, client: Client, arguments: Mapping[str, Any] = ...) -> T_co:
        """Make the call."""


class Versions(Generic[T]):
    """Two versions of one call, of which each tenant always gets the same.

    The canary compares their error rates and times over all processes and takes the candidate back when it
    is worse. An answer of the wrong shape is an error; one that tells the caller that they may not, is not.

    Args:
        canary: which tenants get which, and what was decided; share it through `RedisStore`.
        stable: for everybody else.
        candidate: for the canary's share.

    Example:
        >>> search = Versions(
        ...     Canary("rpc.search", RedisStore(redis), wall=time.time),
        ...     stable=Rpc("search", returns=list[Match], guards=guards, idempotent=True),
        ...     candidate=Rpc("search_v2", returns=list[Match], guards=guards, idempotent=True),
        ... )
        >>> await search.canary.set_share(0.05, by="ana", reason="the new ranking")
        >>> found = await search(mine, {"query": "beans"})
    """

    def __init__(self, canary: Canary, *, stable: Call[T], candidate: Call[T]) -> None:
        self.canary = canary
        self._stable = stable
        self._candidate = candidate

    async def __call__(self, client: TenantClient, arguments: Mapping[str, Any] = _NOTHING) -> T:
        """Call the version that the client's tenant gets.

        Raises:
            TenantUnset: the client has no tenant.
            RemoteError: what that version answered; the other is never called in its place.
            ResilienceError: its guard did not let it through, or time ran out.
        """
        tenant = client.tenant_id
        if tenant is None:
            raise TenantUnset
        return await self.canary.call(
            tenant,
            lambda: self._stable(client, arguments),
            lambda: self._candidate(client, arguments),
        )
