"""Files and calls of a project: a tenant's own, guarded, refused by one name, over when the membership is."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

import httpx
import pytest

from sba_supabase import (
    AdminClient,
    EdgeFunction,
    Guards,
    Pool,
    ServerSettings,
    TenantClient,
    TenantFiles,
    create_server_client,
    set_tenant_context,
)
from sba_supabase.errors import RemoteConflict, RemoteError, RemoteMissing, RemoteRefused
from sba_supabase.rpc import call, rpc
from sba_supabase.storage import BUCKET
from sba_supabase.types.database import RPC_SET_TENANT_CONTEXT, SetTenantContextArguments
from tests.contract.supabase.conftest import Member

Enter = Callable[[Member], Awaitable[TenantClient]]


@pytest.fixture
def enter(project: ServerSettings, pool: Pool) -> Enter:
    """A client of a member, in their tenant."""

    async def entered(member: Member) -> TenantClient:
        client = await create_server_client(project, pool=pool)
        await client.auth.sign_in_with_password({"email": member.email, "password": member.password})
        return await set_tenant_context(client, member.tenant)

    return entered


@pytest.fixture
def guards() -> Guards:
    return Guards()


async def test_a_tenants_file_is_kept_signed_and_removed(enter: Enter, members, guards: Guards):
    files = TenantFiles(await enter(members[0]), guards=guards)
    await files.upload("notes/a.txt", b"hello", content_type="text/plain")
    with pytest.raises(RemoteConflict):
        await files.upload("notes/a.txt", b"again", content_type="text/plain")
    await files.upload("notes/a.txt", b"anew", content_type="text/plain", replace=True)
    assert await files.download("notes/a.txt") == b"anew"
    async with httpx.AsyncClient() as anybody:
        answer = await anybody.get(await files.signed_url("notes/a.txt", seconds=60))
    assert answer.content == b"anew"
    assert await files.remove("notes/a.txt") is True
    with pytest.raises(RemoteMissing):
        await files.download("notes/a.txt")


async def test_another_tenants_file_is_out_of_reach(enter: Enter, members, guards: Guards):
    ours, theirs = [await enter(member) for member in members]
    files = TenantFiles(ours, guards=guards)
    await files.upload("a.txt", b"private", content_type="text/plain")
    bucket = theirs.storage.from_(BUCKET)
    with pytest.raises(Exception, match="Object not found"):
        await bucket.download(files.path("a.txt"))
    with pytest.raises(Exception, match="row-level security"):
        await bucket.upload(files.path("b.txt"), b"planted", {"content-type": "text/plain"})
    assert await files.remove("a.txt") is True


async def test_a_revoked_member_reads_and_writes_no_file(
    enter: Enter, members, admin: AdminClient, guards: Guards
):
    files = TenantFiles(await enter(members[0]), guards=guards)
    await files.upload("a.txt", b"1", content_type="text/plain")
    revoked = {"revoked_at": "2026-01-01T00:00:00Z"}
    await admin.table("memberships").update(revoked).eq("user_id", str(members[0].id)).execute()
    with pytest.raises(RemoteMissing):
        await files.download("a.txt")
    with pytest.raises(RemoteRefused):
        await files.upload("b.txt", b"1", content_type="text/plain")
    await admin.storage.from_(BUCKET).remove([files.path("a.txt")])


async def test_a_function_answers_in_its_type_and_is_refused_by_name(enter: Enter, members, guards: Guards):
    mine = await enter(members[0])
    arguments = SetTenantContextArguments(tenant_id=members[0].tenant)
    assert await call(mine, RPC_SET_TENANT_CONTEXT, arguments, guards=guards) == "member"
    with pytest.raises(RemoteRefused):
        await rpc(mine, "set_tenant_context", {"tenant_id": members[1].tenant}, returns=str, guards=guards)
    with pytest.raises(RemoteMissing):
        await rpc(mine, f"none_{uuid.uuid4().hex}", returns=str, guards=guards)
    missing = EdgeFunction("there-is-no-such-function", returns=str, guards=guards)
    with pytest.raises(RemoteError) as refused:
        await missing(mine)
    assert refused.value.status == 404
