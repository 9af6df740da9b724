"""A Supabase project: the one `SUPABASE_URL` names with its keys, else the stand-in, over real HTTP."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sba_supabase import AdminClient, Pool, ServerSettings, create_admin_client

ANON, SECRET = "sb_publishable_contract", "sb_" + "secret_contract"
PASSWORD = "correct horse battery staple"


@contextlib.asynccontextmanager
async def stand_in(admin_url: str, folder: Path) -> AsyncIterator[ServerSettings]:
    """The stand-in as it ships, on a free port, with its logins made in that database."""
    from sba_local.identity import Issuer  # noqa: PLC0415 - not needed where a project is given
    from sba_local.ports import free_port  # noqa: PLC0415 - not needed where a project is given
    from sba_local.standin import StandInServer  # noqa: PLC0415 - not needed where a project is given
    from sba_local.supabase import gateway, installing  # noqa: PLC0415 - not needed where a project is given

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    logins = await installing.install(admin_url, "contract")
    await installing.install_policies(admin_url)
    async with StandInServer(Issuer.load(folder, url), port=port) as server:
        server.open(gateway.Project(logins, gateway.Keys(ANON, SECRET), folder / "files"))
        yield ServerSettings(SUPABASE_URL=url, SUPABASE_ANON_KEY=ANON, SUPABASE_SERVICE_ROLE_KEY=SECRET)


@pytest.fixture
async def project(database_urls: Any, tmp_path: Path) -> AsyncIterator[ServerSettings]:
    if os.environ.get("SUPABASE_URL"):
        yield ServerSettings()
        return
    async with stand_in(database_urls.admin, tmp_path) as settings:
        yield settings


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with Pool() as opened:
        yield opened


@pytest.fixture
async def admin(project: ServerSettings, pool: Pool) -> AdminClient:
    return await create_admin_client(project, pool=pool, service="contract")


@dataclass(frozen=True)
class Member:
    """A user who can sign in, and a tenant of theirs."""

    id: uuid.UUID
    email: str
    tenant: uuid.UUID
    password: str = field(default=PASSWORD, repr=False)


@pytest.fixture
async def members(admin: AdminClient) -> AsyncIterator[tuple[Member, Member]]:
    """Two users of two tenants, made as the platform makes them and gone afterwards."""
    made = [await _member(admin) for _ in range(2)]
    yield made[0], made[1]
    for member in made:
        await admin.table("tenants").delete().eq("id", str(member.tenant)).execute()
        await admin.auth.admin.delete_user(str(member.id))


async def _member(admin: AdminClient) -> Member:
    name = uuid.uuid4().hex[:12]
    email = f"{name}@example.com"
    answer = await admin.auth.admin.create_user(
        {"email": email, "password": PASSWORD, "email_confirm": True, "app_metadata": {"team": name}}
    )
    user, tenant = uuid.UUID(answer.user.id), uuid.uuid4()
    row = {"id": str(tenant), "slug": name, "name": name}
    await admin.table("tenants").insert(row).execute()
    await admin.table("memberships").insert({"tenant_id": str(tenant), "user_id": str(user)}).execute()
    return Member(user, email, tenant)
