"""The client of the platform itself, for provisioning: it passes by row level security."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from sba_supabase.clients.auth import AdminAuth, SessionAuth
from sba_supabase.clients.client import ProjectClient, options_for
from sba_supabase.settings import ServerSettings
from sba_supabase.transport import Pool

SERVICE_HEADER: Final = "x-service-name"
"""The request header that says which service acts."""

_SERVICE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class AdminClient(ProjectClient):
    """A `ProjectClient` with the secret key: bound by no policy, signed in as nobody, for provisioning only.

    It has no tenant context, for nothing would hold it to one.
    """

    auth_class: ClassVar[type[SessionAuth]] = AdminAuth


async def create_admin_client(settings: ServerSettings, *, pool: Pool, service: str) -> AdminClient:
    """A client for the platform's own work, such as creating users and tenants. One serves a whole process.

    Args:
        settings: with the secret key.
        pool: connections, which stay open when the client closes.
        service: who acts, as the header `x-service-name` of every request: lower case, up to 63 characters.

    Raises:
        ValueError: `service` is no such name.

    Example:
        >>> async with Pool() as pool:
        ...     admin = await create_admin_client(load_settings(ServerSettings), pool=pool, service="signup")
        ...     await admin.table("tenants").insert({"slug": "acme", "name": "Acme"}).execute()
    """
    if not _SERVICE.fullmatch(service):
        raise ValueError(
            "a service is named by up to 63 lower case letters, digits, dots, hyphens, underscores"
        )
    loan = pool.lend(settings.url)
    loan.pin(SERVICE_HEADER, service)
    key = settings.service_role_key.get_secret_value()
    return AdminClient(settings.url, key, options_for(loan, storage_key="none"), loan)
