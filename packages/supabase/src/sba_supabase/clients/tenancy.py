"""How a client enters a tenant."""

from __future__ import annotations

from typing import NewType
from uuid import UUID

import httpx
from postgrest import APIError

from sba_supabase.clients.client import Client
from sba_supabase.errors import MembershipRequired, TenantRefused, TenantUnavailable

TenantClient = NewType("TenantClient", Client)
"""A client whose every request names a tenant of its user: what code takes that touches tenants' rows."""

_RPC = "set_tenant_context"
_NO_MEMBER = "42501"  # the function's own answer, and what nobody in particular is told of any call


async def set_tenant_context(client: Client, tenant_id: UUID | str) -> TenantClient:
    """Have a client act in a tenant: membership is checked, then every later request names the tenant.

    The check is one request, the first time; the same tenant again costs none, until another user signs in.
    The database checks membership anew with every statement, so a membership that is revoked ends with the
    next request, however long the token lives. When the check fails the client stays as it was.

    Args:
        client: of `create_client` or `create_server_client`; it is changed, and one task at a time should.
        tenant_id: one of the user's tenants.

    Returns:
        The same client.

    Raises:
        MembershipRequired: the user is no live member of it, is nobody, or there is no such tenant.
        TenantUnavailable: it cannot be asked for now, or the token is refused.
        TenantRefused: the client is an admin client.
        ValueError: `tenant_id` is no UUID.
    """
    wanted = UUID(str(tenant_id))
    if not isinstance(client, Client):
        raise TenantRefused
    if not client.has_entered(wanted):
        await _ask(client, wanted)
        client.pin_tenant(wanted)
    return TenantClient(client)


async def _ask(client: Client, tenant_id: UUID) -> None:
    """Whether the client's user is a live member."""
    try:
        await client.rpc(_RPC, {"tenant_id": str(tenant_id)}).execute()
    except APIError as refused:
        code = refused.code or "unknown"
    except httpx.HTTPError as failed:
        code = type(failed).__name__
    else:
        return
    if code == _NO_MEMBER:
        raise MembershipRequired(tenant_id)
    raise TenantUnavailable(code)
