"""Supabase's own Python client, unmodified, against the whole stand-in."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from supabase import AsyncClientOptions, acreate_client
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError

from tests.integration.local.gateway.standing import ANON, SECRET

WHO = {"email": "ada@example.test", "password": "correct horse"}


@pytest.fixture
async def make(project):
    def client(key=ANON):
        options = AsyncClientOptions(auto_refresh_token=False, httpx_client=project.http)
        return acreate_client(project.url, key, options)

    return client


async def test_signing_up_in_refreshing_and_out(make):
    client = await make()
    made = await client.auth.sign_up(WHO | {"options": {"data": {"name": "Ada"}}})
    assert made.user.user_metadata == {"name": "Ada"}
    session = (await client.auth.sign_in_with_password(WHO)).session
    assert (await client.auth.get_user()).user.id == made.user.id
    fresh = (await client.auth.refresh_session()).session
    assert fresh.refresh_token != session.refresh_token
    assert (await client.auth.update_user({"data": {"team": "x"}})).user.user_metadata["team"] == "x"
    await client.auth.sign_out()
    assert await client.auth.get_session() is None
    with pytest.raises(AuthApiError) as caught:
        await client.auth.set_session(fresh.access_token, fresh.refresh_token)
    assert caught.value.code == "session_not_found"


async def test_refusals_have_the_codes_that_the_client_knows(make):
    client = await make()
    with pytest.raises(AuthApiError) as caught:
        await client.auth.sign_in_with_password(WHO)
    assert (caught.value.code, caught.value.status) == ("invalid_credentials", 400)
    with pytest.raises(AuthWeakPasswordError) as weak:
        await client.auth.sign_up(WHO | {"password": "12345"})
    assert weak.value.reasons == ["length"]


async def test_an_administrators_whole_day(make, project):
    admin = (await make(SECRET)).auth.admin
    tenant = str(uuid.uuid4())
    made = (
        await admin.create_user(WHO | {"email_confirm": True, "app_metadata": {"tenant_id": tenant}})
    ).user
    assert [user.id for user in await admin.list_users()] == [made.id]
    assert (await admin.get_user_by_id(made.id)).user.app_metadata["tenant_id"] == tenant
    client = await make()
    session = (await client.auth.sign_in_with_password(WHO)).session
    await admin.sign_out(session.access_token)
    with pytest.raises(AuthApiError):
        await client.auth.get_user()
    changed = await admin.update_user_by_id(made.id, {"email": "new@example.test"})
    assert changed.user.email == "new@example.test"
    await admin.delete_user(made.id)
    assert await admin.list_users() == []


async def test_its_claims_are_verified_with_the_published_keys(make):
    client = await make()
    session = (await client.auth.sign_up(WHO)).session
    claims = await asyncio.wait_for(client.auth.get_claims(session.access_token), 10)
    assert claims["claims"]["email"] == WHO["email"]


async def test_rest_functions_and_storage_act_as_the_one_who_signed_in(make, project):
    client = await make()
    user = uuid.UUID((await client.auth.sign_up(WHO)).user.id)
    tenant = await project.tenant((user, "owner"))

    async def who(call):
        return call.claims["sub"]

    project.functions["who"] = who
    assert (await client.functions.invoke("who")).decode() == str(user)
    client.options.headers["x-tenant-id"] = str(tenant)
    bucket = client.storage.from_("tenant-files")
    path = f"{tenant}/notes/a.txt"
    await bucket.upload(path, b"hello", {"content-type": "text/plain"})
    assert [one["name"] for one in await bucket.list(f"{tenant}/notes")] == ["a.txt"]
    assert await bucket.exists(path)
    assert not await bucket.exists(f"{tenant}/notes/b.txt")
    signed = (await bucket.create_signed_url(path, 60))["signedUrl"]
    assert (await project.http.get(signed)).content == b"hello"
    ticket = await bucket.create_signed_upload_url(f"{tenant}/notes/b.txt")
    await bucket.upload_to_signed_url(ticket["path"], ticket["token"], b"two")
    assert await bucket.download(f"{tenant}/notes/b.txt") == b"two"
    rows = await client.table("tenants").select("id").execute()
    assert rows.data == [{"id": str(tenant)}]
