"""A new version of an RPC or an edge function, for a sticky share of the tenants."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from sba_resilience import is_fault
from sba_resilience.canary import Canary
from sba_supabase.clients.client import Client
from sba_supabase.clients.tenancy import TenantClient
from sba_supabase.errors import RemoteError, RemoteRefused, TenantUnset

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
    is worse. What the database raises counts as an error, and so does a version that is missing or answers
    in another shape: what callers do wrong they do wrong with either. Only an answer that tells the caller
    that they may not (`RemoteRefused`) counts for nothing.

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
        try:
            return await self.canary.call(
                tenant,
                lambda: _counted(self._stable(client, arguments)),
                lambda: _counted(self._candidate(client, arguments)),
            )
        except _CountedError as counted:
            error = counted.error
        raise error


class _CountedError(Exception):
    """An answer that a canary would not count by itself, since elsewhere it speaks against the caller."""

    def __init__(self, error: RemoteError) -> None:
        self.error = error


async def _counted(call: Awaitable[T]) -> T:
    try:
        return await call
    except RemoteError as error:
        if isinstance(error, RemoteRefused) or is_fault(error):
            raise
        counted = _CountedError(error)
    raise counted
