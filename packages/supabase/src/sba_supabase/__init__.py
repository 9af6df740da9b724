"""Who is calling: settings, keys, verified tokens, clients, tenants and the Supabase-side schema."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from sba_supabase.auth.cookies import CookieOptions
from sba_supabase.auth.keys import KeySet
from sba_supabase.auth.principal import Principal
from sba_supabase.auth.tokens import TokenVerifier
from sba_supabase.calls import CallRules, Guards
from sba_supabase.errors import (
    ClientError,
    KeysUnavailable,
    MembershipRequired,
    MigrationError,
    RemoteError,
    RemoteUnavailable,
    ResultInvalid,
    SessionUnavailable,
    SettingsError,
    SupabaseError,
    TenantUnavailable,
    TokenError,
)
from sba_supabase.settings import (
    AuthSettings,
    ProjectSettings,
    PublicProject,
    PublicSettings,
    ServerSettings,
    load_settings,
)
from sba_supabase.tenant import ENTER_TENANT, IS_MEMBER, MEMBERSHIP_REQUIRED, TENANT_HEADER
from sba_supabase.transport import Limits, Pool

if _TYPE_CHECKING:
    from sba_supabase.clients.admin import AdminClient, create_admin_client
    from sba_supabase.clients.client import Client, create_client
    from sba_supabase.clients.server import ServerClient, create_server_client
    from sba_supabase.clients.tenancy import TenantClient, set_tenant_context
    from sba_supabase.functions import EdgeFunction
    from sba_supabase.rpc import Rpc
    from sba_supabase.storage import TenantFiles
    from sba_supabase.versions import Versions

__all__ = [
    "ENTER_TENANT",
    "IS_MEMBER",
    "MEMBERSHIP_REQUIRED",
    "TENANT_HEADER",
    "AdminClient",
    "AuthSettings",
    "CallRules",
    "Client",
    "ClientError",
    "CookieOptions",
    "EdgeFunction",
    "Guards",
    "KeySet",
    "KeysUnavailable",
    "Limits",
    "MembershipRequired",
    "MigrationError",
    "Pool",
    "Principal",
    "ProjectSettings",
    "PublicProject",
    "PublicSettings",
    "RemoteError",
    "RemoteUnavailable",
    "ResultInvalid",
    "Rpc",
    "ServerClient",
    "ServerSettings",
    "SessionUnavailable",
    "SettingsError",
    "SupabaseError",
    "TenantClient",
    "TenantFiles",
    "TenantUnavailable",
    "TokenError",
    "TokenVerifier",
    "Versions",
    "create_admin_client",
    "create_client",
    "create_server_client",
    "load_settings",
    "set_tenant_context",
]

_WITH_CLIENTS = {
    "AdminClient": "clients.admin",
    "Client": "clients.client",
    "ServerClient": "clients.server",
    "TenantClient": "clients.tenancy",
    "create_admin_client": "clients.admin",
    "create_client": "clients.client",
    "create_server_client": "clients.server",
    "set_tenant_context": "clients.tenancy",
    "EdgeFunction": "functions",
    "Rpc": "rpc",
    "TenantFiles": "storage",
    "Versions": "versions",
}

if not _TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """What needs Supabase's own client, whose import takes longer than all the rest."""
        if name not in _WITH_CLIENTS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(_import_module(f"{__name__}.{_WITH_CLIENTS[name]}"), name)
