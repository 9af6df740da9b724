"""What an audit looks for, and what to use instead."""

from __future__ import annotations

import re
from typing import Final

from sba_supabase.checks.findings import Rule

_PREFIX: Final = "NEXT_" + "PUBLIC_"

DIRECT_IMPORT: Final = Rule(
    "direct-import",
    "A service imports one of Supabase's own packages.",
    "Import from sba_supabase, where every client is made.",
)
OWN_CLIENT: Final = Rule(
    "own-client",
    "A service makes a client of Supabase's, or speaks to its addresses, by itself.",
    "Use create_client, create_server_client or create_admin_client of sba_supabase.",
)
PUBLIC_VARIABLE: Final = Rule(
    "public-variable",
    f"A server names a variable that is made for clients (`{_PREFIX}…`).",
    "Read SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY through sba_supabase.ServerSettings.",
)
OWN_SETTING: Final = Rule(
    "own-setting",
    "A service reads a variable of Supabase's by itself.",
    "Read it through sba_supabase.ServerSettings or ProjectSettings, with load_settings.",
)
BARE_ALLOW: Final = Rule(
    "allow-without-reason",
    "A comment allows a finding and does not say why.",
    "Write `# sba-audit: allow <reason>`.",
)
UNUSED_ALLOW: Final = Rule(
    "allow-unused",
    "A comment allows a finding where there is none.",
    "Remove the comment.",
)
RULES: Final = (DIRECT_IMPORT, OWN_CLIENT, PUBLIC_VARIABLE, OWN_SETTING, BARE_ALLOW, UNUSED_ALLOW)

_CLIENT: Final = "from sba_supabase import create_server_client"
INSTEAD: Final = {
    "supabase": _CLIENT,
    "supabase_py": _CLIENT,
    "supabase.create_client": "from sba_supabase import create_client",
    "supabase.acreate_client": "from sba_supabase import create_client",
    "supabase.create_async_client": "from sba_supabase import create_client",
    "supabase.AuthError": "from sba_supabase import SupabaseError",
    "postgrest": "from sba_supabase import queries, mutations",
    "supabase_auth": "from sba_supabase import TokenVerifier, create_server_client",
    "gotrue": "from sba_supabase import TokenVerifier, create_server_client",
    "storage3": "from sba_supabase import storage",
    "supabase_functions": "from sba_supabase import functions",
    "supafunc": "from sba_supabase import functions",
    "realtime": "a room of sba_ws",
}
"""What to import instead, by the module or name that was imported."""

_MADE: Final = ("Supabase", "Postgrest", "Storage", "GoTrue", "Auth", "Functions", "Realtime")
FACTORIES: Final = frozenset(
    {"create_client", "acreate_client", "create_async_client"}
    | {f"{way}{kind}Client" for way in ("", "Sync", "Async") for kind in ("", *_MADE)}
)
"""The names of Supabase's that make a client."""

ADDRESS: Final = re.compile(
    r"//[a-z0-9-]{1,63}\.supabase\.(?:co|in)\b"
    r"|/(?:rest|storage|functions|realtime)/v1(?:/|\b)"
    r"|/auth/v1/(?:token|signup|user|admin|logout|otp|verify|recover|magiclink)\b"
)
PUBLIC: Final = re.compile(rf"\b{_PREFIX}\w*", re.IGNORECASE)
SETTING: Final = re.compile(r"SUPABASE_\w+\Z")


def package_of(module: str) -> str | None:
    """Which of Supabase's packages a module belongs to, None for any other."""
    top = module.partition(".")[0]
    return top if top in INSTEAD else None


def instead_of(module: str, name: str | None = None) -> str:
    """What to import instead of a module, or of a name out of it."""
    package = package_of(module) or module
    return INSTEAD.get(f"{package}.{name}", INSTEAD[package])
