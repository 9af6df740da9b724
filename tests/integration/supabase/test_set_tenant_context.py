"""The call that enters a tenant, as PostgREST makes it: a live member gets an answer, anyone else 403."""

from __future__ import annotations

import uuid

import pytest
from psycopg import errors

from tests.integration.supabase.conftest import column

CALL = "select public.set_tenant_context(%(tenant)s)"
ROLE = "select app.membership_role(%(tenant)s)"
TENANTS = "select id from public.tenants"


async def test_a_member_is_told_their_role(request_as, admin, tenants):
    ours, _ = tenants
    await admin.execute("update public.memberships set role = 'owner' where user_id = %s", [ours.user])
    async with request_as(ours.user) as request:
        assert await column(request, CALL, {"tenant": ours.id}) == ["owner"]


async def test_the_call_itself_brings_nothing_into_sight(request_as, tenants):
    """Each request is a transaction of its own, and so is this one; what follows names the tenant itself."""
    ours, _ = tenants
    async with request_as(ours.user) as request:
        await request.execute(CALL, {"tenant": ours.id})
        assert await column(request, TENANTS) == []
    async with request_as(ours.user, header=ours.id) as request:
        assert await column(request, TENANTS) == [ours.id]


@pytest.mark.parametrize("which", ["foreign", "unknown", "none"])
async def test_every_tenant_but_ones_own_is_answered_alike(which: str, request_as, tenants):
    ours, theirs = tenants
    tenant = {"foreign": theirs.id, "unknown": uuid.uuid4(), "none": None}[which]
    with pytest.raises(errors.InsufficientPrivilege) as refused:
        async with request_as(ours.user, claim=theirs.id, header=theirs.id) as request:
            await request.execute(CALL, {"tenant": tenant})
    assert refused.value.diag.message_primary == "a live membership is required"
    assert refused.value.diag.message_detail is None


async def test_a_revoked_member_is_refused_and_sees_nothing_more(request_as, admin, tenants):
    ours, _ = tenants
    async with request_as(ours.user, header=ours.id) as request:
        assert await column(request, CALL, {"tenant": ours.id}) == ["member"]
    await admin.execute("update public.memberships set revoked_at = now() where user_id = %s", [ours.user])
    async with request_as(ours.user, header=ours.id) as request:
        assert await column(request, TENANTS) == []
    with pytest.raises(errors.InsufficientPrivilege):
        async with request_as(ours.user, header=ours.id) as request:
            await request.execute(CALL, {"tenant": ours.id})


async def test_a_token_without_a_subject_is_nobodys(request_as, tenants):
    with pytest.raises(errors.InsufficientPrivilege):
        async with request_as(None, header=tenants[0].id) as request:
            await request.execute(CALL, {"tenant": tenants[0].id})


@pytest.mark.parametrize("role", ["anon", "service_role"])
@pytest.mark.parametrize("call", [CALL, ROLE])
async def test_only_a_signed_in_user_may_ask(role: str, call: str, request_as, tenants):
    ours, _ = tenants
    with pytest.raises(errors.InsufficientPrivilege, match="permission denied"):
        async with request_as(ours.user, role=role) as request:
            await request.execute(call, {"tenant": ours.id})


async def test_a_shadowing_table_makes_nobody_a_member(request_as, tenants):
    ours, theirs = tenants
    async with request_as(ours.user) as request:
        await request.execute("create temp table memberships (tenant_id uuid, user_id uuid, role text)")
        await request.execute(
            "insert into pg_temp.memberships values (%s, %s, 'owner')", [theirs.id, ours.user]
        )
        await request.execute("set local search_path = pg_temp, public")
        assert await column(request, ROLE, {"tenant": theirs.id}) == [None]


async def test_it_writes_nothing_and_is_pinned(admin):
    query = """
        select p.proname, p.provolatile, p.prosecdef, p.proconfig, p.proowner::regrole::text from pg_proc p
        where p.proname in ('set_tenant_context', 'membership_role') order by 1
    """
    pinned = ["search_path=pg_catalog, pg_temp"]
    cursor = await admin.execute(query)
    assert await cursor.fetchall() == [
        ("membership_role", "s", True, pinned, "sba_owner"),
        ("set_tenant_context", "s", False, pinned, "sba_owner"),
    ]
