"""What a scan looks for."""

from __future__ import annotations

from typing import Final

from sba_supabase.checks.findings import Rule

SECRET_KEY: Final = Rule(
    "secret-key",
    "A secret key of a Supabase project (`sb_secret_…`).",
    "Revoke the key, then give it to servers only, as SUPABASE_SERVICE_ROLE_KEY.",
)
SERVICE_TOKEN: Final = Rule(
    "service-token",
    "A token whose role is service_role: it passes every row level security policy.",
    "Rotate the project's keys, then give the new one to servers only, as SUPABASE_SERVICE_ROLE_KEY.",
)
SERVICE_VARIABLE: Final = Rule(
    "service-variable",
    "A bundle for clients names a variable that holds a service key (`SUPABASE_SERVICE_…`).",
    "Read it in server code only, through ServerSettings.",
)
SERVER_MODULE: Final = Rule(
    "server-module",
    "A bundle for clients holds a module made for servers.",
    "Import the public client there, and keep the server's modules out of what clients load.",
)
RULES: Final = (SECRET_KEY, SERVICE_TOKEN, SERVICE_VARIABLE, SERVER_MODULE)

SERVER_MODULES: Final = (
    "createAdminClient",
    "create_admin_client",
    "clients/node-admin",
    "supabase/node-admin",
    "node_modules/server-only",
    "node_modules/@prisma/client",
    "@sba/db",
    "sba_supabase/clients/admin",
    "sba_supabase.clients.admin",
)
