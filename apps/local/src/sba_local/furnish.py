"""Something to know for the two tenants of a new stack, so that a first question finds an answer."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from sba_local.demo.corpus import documents
from sba_local.errors import StackError
from sba_local.identity import Issuer
from sba_local.residents import ACME, GLOBEX, Resident

_DOCUMENTS = "/v1/knowledge/documents"


async def furnish(environment: Mapping[str, str], issuer: Issuer) -> None:
    """Store the demo's documents for each tenant that has none.

    Args:
        environment: The stack's addresses.
        issuer: Mints the tenants' tokens.

    Raises:
        StackError: The API did not take them.
    """
    async with httpx.AsyncClient(base_url=environment["SBA_API_URL"], timeout=20) as http:
        try:
            for resident in (ACME, GLOBEX):
                await _furnish(http, resident, issuer)
        except httpx.HTTPError as error:
            raise StackError(f"the first documents could not be stored: {type(error).__name__}") from None


async def _furnish(http: httpx.AsyncClient, resident: Resident, issuer: Issuer) -> None:
    token = issuer.mint(user_id=resident.user_id, tenant_id=resident.tenant_id, role=resident.role)
    headers = {"Authorization": f"Bearer {token}"}
    known = await http.get(_DOCUMENTS, params={"limit": 1}, headers=headers)
    if known.raise_for_status().json()["items"]:
        return
    for title, content in documents(resident.slug):
        stored = await http.post(_DOCUMENTS, json={"title": title, "content": content}, headers=headers)
        stored.raise_for_status()
