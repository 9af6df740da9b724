"""Our clients and a project agree: who signs in acts in their tenant and no other, until it is revoked."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from sba_supabase import (
    CookieOptions,
    KeySet,
    MembershipRequired,
    Pool,
    ServerClient,
    ServerSettings,
    TenantUnavailable,
    TokenVerifier,
    create_client,
    create_server_client,
    set_tenant_context,
)
from sba_supabase.auth.cookies import CookieJar, cookie_name
from tests.contract.supabase.conftest import Member


def browser(client: ServerClient, cookies: dict[str, str]) -> dict[str, str]:
    """The cookies a browser has after the response."""
    for name, value in client.response_headers():
        if name == "set-cookie":
            cookie, _, content = value.partition(";")[0].partition("=")
            cookies = {**cookies, cookie: content}
    return {name: value for name, value in cookies.items() if value}


async def signed_in(project: ServerSettings, pool: Pool, member: Member) -> dict[str, str]:
    """The cookies of a browser whose user has signed in."""
    client = await create_server_client(project, pool=pool)
    await client.auth.sign_in_with_password({"email": member.email, "password": member.password})
    return browser(client, {})


async def tenants_seen(client: Any) -> list[str]:
    answer = await client.table("tenants").select("id").execute()
    return [row["id"] for row in answer.data]


async def test_who_signs_in_acts_in_their_tenant_and_in_no_other(project, pool, members):
    ours, theirs = members
    client = await create_server_client(project, pool=pool, cookies=await signed_in(project, pool, ours))
    assert await tenants_seen(client) == []
    mine = await set_tenant_context(client, ours.tenant)
    assert await tenants_seen(mine) == [str(ours.tenant)]
    for tenant in (theirs.tenant, uuid.uuid4()):
        with pytest.raises(MembershipRequired):
            await set_tenant_context(client, tenant)
    assert await tenants_seen(mine) == [str(ours.tenant)]


async def test_a_revoked_membership_ends_with_the_next_request(project, pool, members, admin):
    ours, _ = members
    cookies = await signed_in(project, pool, ours)
    client = await create_server_client(project, pool=pool, cookies=cookies)
    mine = await set_tenant_context(client, ours.tenant)
    assert await tenants_seen(mine) == [str(ours.tenant)]
    revoked = {"revoked_at": "2026-01-01T00:00:00Z"}
    await admin.table("memberships").update(revoked).eq("user_id", str(ours.id)).execute()
    assert await tenants_seen(mine) == []
    again = await create_server_client(project, pool=pool, cookies=cookies)
    with pytest.raises(MembershipRequired):
        await set_tenant_context(again, ours.tenant)


async def test_nobody_in_particular_is_a_member_of_nothing(project, pool, members):
    client = await create_server_client(project, pool=pool)
    with pytest.raises(MembershipRequired):
        await set_tenant_context(client, members[0].tenant)


async def test_a_forged_token_is_refused(project, pool, members):
    client = await create_server_client(project, pool=pool, bearer="eyJhbGciOiJub25lIn0.e30.x")
    with pytest.raises((TenantUnavailable, MembershipRequired)):
        await set_tenant_context(client, members[0].tenant)


async def test_an_ended_session_goes_on_with_its_refresh_token(project, pool, members):
    ours, _ = members
    cookies = await signed_in(project, pool, ours)
    name = cookie_name(project.url)
    jar = CookieJar(cookies, CookieOptions())
    ended = {**json.loads(jar.read(name) or ""), "expires_at": 1}
    jar.write(name, json.dumps(ended))
    old = {cookie.name: cookie.value for cookie in jar.changes()}
    clients = await asyncio.gather(*(create_server_client(project, pool=pool, cookies=old) for _ in range(5)))
    for client in clients:
        mine = await set_tenant_context(client, ours.tenant)
        assert await tenants_seen(mine) == [str(ours.tenant)]
        fresh = json.loads(CookieJar(browser(client, old), CookieOptions()).read(name) or "")
        assert fresh["refresh_token"] != ended["refresh_token"]
        assert fresh["user"]["id"] == str(ours.id)


async def test_a_session_that_was_signed_out_is_nobodys(project, pool, members):
    cookies = await signed_in(project, pool, members[0])
    client = await create_server_client(project, pool=pool, cookies=cookies)
    await client.auth.sign_out()
    assert browser(client, cookies) == {}
    jar = CookieJar(cookies, CookieOptions())
    name = cookie_name(project.url)
    jar.write(name, json.dumps({**json.loads(jar.read(name) or ""), "expires_at": 1}))
    stale = {cookie.name: cookie.value for cookie in jar.changes()}
    late = await create_server_client(project, pool=pool, cookies=stale)
    assert late.access_token is None
    assert browser(late, stale) == {}


async def test_a_token_of_the_project_is_verified_here(project, pool, members):
    ours, _ = members
    client = await create_server_client(project, pool=pool, cookies=await signed_in(project, pool, ours))
    async with pool.lend(project.url).http() as http:
        keys = KeySet(project.auth.jwks_url, http=http)
        principal = await TokenVerifier(project.auth, keys=keys).verify(client.access_token)
    assert principal.user_id == ours.id


async def test_the_public_context_signs_in_and_enters_its_tenant(project, pool, members):
    ours, _ = members
    async with await create_client(project, pool=pool) as client:
        await client.auth.sign_in_with_password({"email": ours.email, "password": ours.password})
        mine = await set_tenant_context(client, ours.tenant)
        assert await tenants_seen(mine) == [str(ours.tenant)]
