"""Who is calling: settings, keys, verified tokens, tenants and the Supabase-side schema."""

from sba_supabase.auth.keys import KeySet
from sba_supabase.auth.principal import Principal
from sba_supabase.auth.tokens import TokenVerifier
from sba_supabase.errors import KeysUnavailable, MigrationError, SettingsError, SupabaseError, TokenError
from sba_supabase.settings import AuthSettings, ProjectSettings, ServerSettings, load_settings
from sba_supabase.tenant import ENTER_TENANT, IS_MEMBER, MEMBERSHIP_REQUIRED, TENANT_HEADER

__all__ = [
    "ENTER_TENANT",
    "IS_MEMBER",
    "MEMBERSHIP_REQUIRED",
    "TENANT_HEADER",
    "AuthSettings",
    "KeySet",
    "KeysUnavailable",
    "MigrationError",
    "Principal",
    "ProjectSettings",
    "ServerSettings",
    "SettingsError",
    "SupabaseError",
    "TokenError",
    "TokenVerifier",
    "load_settings",
]
