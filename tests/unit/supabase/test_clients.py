"""Clients against a project on loopback: who acts, for whom, and what stays of a request (nothing)."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from supabase_auth import AsyncMemoryStorage
from supabase_auth.errors import AuthRetryableError

from sba_supabase import (
    Client,
    Limits,
    MembershipRequired,
    Pool,
    ServerSettings,
    SettingsError,
    TenantUnavailable,
    TokenError,
    create_admin_client,
    create_client,
    create_server_client,
    set_tenant_context,
)
from sba_supabase.auth.cookies import CookieJar, CookieOptions
from sba_supabase.errors import AdminSession, RequestEscapes, TenantRefused
from tests.unit.supabase.project import KEY, Asked, Project, refused, session

SECRET = "sb_" + "secret_hunter2"
TENANT = uuid.UUID("5f3c1d88-2b7a-4e0f-8c59-7a1e6d4b3c02")
OTHER = uuid.UUID("5f3c1d88-2b7a-4e0f-8c59-7a1e6d4b3c03")
RPC = "/rest/v1/rpc/set_tenant_context"
FAR = 4_000_000_000.0


@pytest.fixture
async def project() -> AsyncIterator[Project]:
    async with Project().running() as running:
        running.routes[RPC] = lambda _: (200, "member")
        yield running


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    patient = Limits(connect=60.0, read=60.0, write=60.0, queue=60.0, total=100.0)
    async with Pool(patient) as opened:
        yield opened


@pytest.fixture
def server_settings(project: Project) -> ServerSettings:
    return ServerSettings(SUPABASE_URL=project.url, SUPABASE_SERVICE_ROLE_KEY=SECRET)


async def who(client: Client) -> dict[str, str | None]:
    """What the project sees of a request."""
    answer = await client.table("things").select("*").execute()
    return answer.data[0]


async def test_a_bearer_acts_as_itself(project, pool):
    client = await create_server_client(
        project, pool=pool, bearer="a.b.c", cookies={"sb-127-auth-token": "x"}
    )
    seen = await who(client)
    assert (seen["authorization"], seen["apikey"], seen["x-tenant-id"]) == ("Bearer a.b.c", KEY, None)
    assert client.access_token == "a.b.c"
    assert client.response_headers() == []


async def test_a_request_without_a_session_is_nobodys(project, pool):
    client = await create_server_client(project, pool=pool)
    seen = await who(client)
    assert (seen["apikey"], seen["authorization"]) == (KEY, f"Bearer {KEY}")
    assert client.access_token is None


@pytest.mark.parametrize(("key", "bearer"), [(KEY, None), ("legacy.anon.key", "Bearer legacy.anon.key")])
async def test_functions_get_a_bearer_only_when_it_is_a_token(key: str, bearer: str | None, project, pool):
    project.anon_key = SecretStr(key)
    client = await create_server_client(project, pool=pool)
    await client.functions.invoke("hello")
    signed_in = await create_server_client(project, pool=pool, bearer="a.b.c")
    await signed_in.functions.invoke("hello")
    assert [asked.headers.get("authorization") for asked in project.asked] == [bearer, "Bearer a.b.c"]


@pytest.mark.parametrize("bearer", ["", "a b", "a\r\nx-tenant-id: 1", "é", "a" * 8193])
async def test_a_bearer_that_is_no_token_goes_nowhere(bearer: str, project, pool):
    with pytest.raises(TokenError):
        await create_server_client(project, pool=pool, bearer=bearer)
    assert project.asked == []


async def test_a_project_without_a_public_key_has_no_clients(project, pool):
    project.anon_key = None
    with pytest.raises(SettingsError, match="SUPABASE_ANON_KEY"):
        await create_server_client(project, pool=pool)


async def test_two_hundred_interleaved_users_keep_to_themselves(project, pool):
    """Each answer tries to leave a cookie behind, and all are under way at once."""
    project.response_headers = [("set-cookie", "session=somebody; Path=/")]
    project.gate = asyncio.Event()
    tenants = {f"user{number}.x.y": uuid.UUID(int=number) for number in range(200)}

    async def act(token: str, tenant: uuid.UUID) -> list[dict[str, str | None]]:
        client = await create_server_client(project, pool=pool, bearer=token)
        mine = await set_tenant_context(client, tenant)
        return [await who(mine) for _ in range(3)]

    tasks = {token: asyncio.create_task(act(token, tenant)) for token, tenant in tenants.items()}
    await asyncio.wait_for(project.arrived.wait(), 10)
    project.gate.set()
    for token, task in tasks.items():
        for seen in await task:
            assert seen["authorization"] == f"Bearer {token}"
            assert seen["x-tenant-id"] == str(tenants[token])
            assert seen["cookie"] is None
    assert len(project.to(RPC)) == 200


async def test_a_tenant_is_asked_for_once_and_named_from_then_on(project, pool):
    client = await create_server_client(project, pool=pool, bearer="a.b.c")
    table = client.table("things").select("*")
    for tenant in (TENANT, str(TENANT)):
        mine = await set_tenant_context(client, tenant)
    assert mine is client
    assert client.tenant_id == TENANT
    assert [asked.body for asked in project.to(RPC)] == [{"tenant_id": str(TENANT)}]
    assert (await table.execute()).data[0]["x-tenant-id"] == str(TENANT)
    await client.rpc("anything", {}).execute()
    await client.schema("public").from_("things").select("*").execute()
    await client.storage.from_("files").list()
    await client.functions.invoke("hello")
    others = [asked for asked in project.asked if asked.path != RPC]
    assert len(others) == 5
    assert {asked.headers["x-tenant-id"] for asked in others} == {str(TENANT)}


async def test_a_request_cannot_name_another_tenant_than_the_clients(project, pool):
    client = await create_server_client(project, pool=pool, bearer="a.b.c")
    await set_tenant_context(client, TENANT)
    request = client.table("things").select("*")
    request.request.headers["X-Tenant-Id"] = str(OTHER)
    assert (await request.execute()).data[0]["x-tenant-id"] == str(TENANT)


async def test_without_membership_the_client_stays_as_it_was(project, pool):
    client = await create_server_client(project, pool=pool, bearer="a.b.c")
    await set_tenant_context(client, TENANT)
    project.routes[RPC] = lambda _: (403, refused("42501"))
    with pytest.raises(MembershipRequired) as denied:
        await set_tenant_context(client, OTHER)
    assert denied.value.tenant_id == OTHER
    assert client.tenant_id == TENANT


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (401, refused("PGRST303", "JWT expired"), "PGRST303"),
        (503, refused("57P01"), "57P01"),
        (502, "?", "502"),
    ],
)
async def test_what_is_no_answer_about_membership_is_told_apart(status: int, answer, reason, project, pool):
    project.routes[RPC] = lambda _: (status, answer)
    client = await create_server_client(project, pool=pool, bearer="a.b.c")
    with pytest.raises(TenantUnavailable) as failed:
        await set_tenant_context(client, TENANT)
    assert failed.value.reason == reason
    assert client.tenant_id is None
    assert len(project.to(RPC)) == 1


async def test_a_tenant_that_is_no_id_is_not_even_asked_for(project, pool):
    client = await create_server_client(project, pool=pool, bearer="a.b.c")
    with pytest.raises(ValueError, match="UUID"):
        await set_tenant_context(client, "acme")
    assert project.asked == []


async def test_another_user_on_the_same_client_is_asked_for_anew(project, pool):
    grant = {"ana": session("ana", ends=FAR), "gita": session("gita", ends=FAR, user_id=str(OTHER))}
    project.routes["/auth/v1/token"] = lambda asked: (200, grant[asked.body["email"]])
    client = await create_server_client(project, pool=pool)
    await client.auth.sign_in_with_password({"email": "ana", "password": "x"})
    await set_tenant_context(client, TENANT)
    await client.auth.sign_in_with_password({"email": "ana", "password": "x"})
    await set_tenant_context(client, TENANT)
    assert len(project.to(RPC)) == 1
    await client.auth.sign_in_with_password({"email": "gita", "password": "x"})
    assert client.tenant_id == TENANT
    project.routes[RPC] = lambda _: (403, refused("42501"))
    with pytest.raises(MembershipRequired):
        await set_tenant_context(client, TENANT)
    assert (await who(client))["x-tenant-id"] == str(TENANT)


async def test_a_refreshed_session_keeps_its_tenant_without_a_question(project, pool):
    jar = CookieJar({}, CookieOptions())
    jar.write("sb-127-auth-token", json.dumps(session("ana", ends=FAR)))
    cookies = {cookie.name: cookie.value for cookie in jar.changes()}
    project.routes["/auth/v1/token"] = lambda _: (200, session("new", ends=FAR))
    client = await create_server_client(project, pool=pool, cookies=cookies)
    await set_tenant_context(client, TENANT)
    await client.auth.refresh_session()
    await set_tenant_context(client, TENANT)
    seen = await who(client)
    assert (seen["authorization"], seen["x-tenant-id"]) == ("Bearer access.new.token", str(TENANT))
    assert len(project.to(RPC)) == 1


@pytest.mark.parametrize("make", [create_client, create_server_client])
async def test_a_secret_key_in_the_place_of_the_public_one_makes_no_client(make, project, pool):
    project.anon_key = SecretStr(SECRET)
    with pytest.raises(SettingsError, match="is a secret key") as refused:
        await make(project, pool=pool)
    assert "hunter2" not in str(refused.value)


async def test_an_unreachable_project_says_so_soon(project):
    async with Pool(Limits(total=0.05)) as pool:
        project.gate = asyncio.Event()
        client = await create_server_client(project, pool=pool, bearer="a.b.c")
        with pytest.raises(TenantUnavailable) as failed:
            await set_tenant_context(client, TENANT)
        assert failed.value.reason == "ReadTimeout"


async def test_the_admin_client_names_its_service_and_holds_the_secret(project, pool, server_settings):
    admin = await create_admin_client(server_settings, pool=pool, service="signup")
    seen = await who(admin)
    assert (seen["x-service-name"], seen["apikey"]) == ("signup", SECRET)
    assert "hunter2" not in repr(admin)


async def test_the_admin_client_signs_in_as_nobody(project, pool, server_settings):
    project.routes["/auth/v1/token"] = lambda _: (200, session(ends=FAR))
    admin = await create_admin_client(server_settings, pool=pool, service="signup")
    with pytest.raises(AdminSession):
        await admin.auth.sign_in_with_password({"email": "ana@example.com", "password": "x"})
    seen = await who(admin)
    assert (seen["apikey"], seen["authorization"]) == (SECRET, f"Bearer {SECRET}")
    assert await admin.auth.get_session() is None


async def test_the_admin_client_has_no_tenant(pool, server_settings):
    admin = await create_admin_client(server_settings, pool=pool, service="signup")
    with pytest.raises(TenantRefused):
        await set_tenant_context(admin, TENANT)


@pytest.mark.parametrize("service", ["", "Sign Up", "a\r\nb", "x" * 64])
async def test_a_service_has_a_plain_name(service: str, pool, server_settings):
    with pytest.raises(ValueError, match="service"):
        await create_admin_client(server_settings, pool=pool, service=service)


async def test_only_the_public_context_stores_its_session(project, pool, server_settings):
    public = await create_client(project, pool=pool)
    server = await create_server_client(project, pool=pool)
    admin = await create_admin_client(server_settings, pool=pool, service="signup")
    contexts = (public, server, admin)
    assert [client.options.persist_session for client in contexts] == [True, False, False]
    assert [client.options.auto_refresh_token for client in contexts] == [True, False, False]
    await public.aclose()


async def test_the_public_context_outlives_its_program(project, pool):
    project.routes["/auth/v1/token"] = lambda _: (200, session(ends=FAR))
    storage = AsyncMemoryStorage()
    async with await create_client(project, pool=pool, storage=storage) as first:
        await first.auth.sign_in_with_password({"email": "ana@example.com", "password": "x"})
        assert (await who(first))["authorization"] == "Bearer access.ana.token"
    async with await create_client(project, pool=pool, storage=storage) as second:
        assert (await who(second))["authorization"] == "Bearer access.ana.token"
        assert (await set_tenant_context(second, TENANT)).tenant_id == TENANT


async def test_a_failing_project_is_asked_once_for_retries_are_the_callers(project, pool):
    project.routes["/rest/v1/things"] = lambda _: (503, refused("57P03"))
    client = await create_server_client(project, pool=pool, bearer="a.b.c")
    with pytest.raises(Exception, match="57P03"):
        await who(client)
    assert len(project.asked) == 1


async def test_no_request_leaves_for_another_host(project, pool):
    client = await create_server_client(project, pool=pool, bearer="a.b.c")
    http = client.options.httpx_client
    assert http is not None
    for url in ("http://localhost:1/", "https://127.0.0.1/", project.url.replace("127.0.0.1", "127.0.0.2")):
        with pytest.raises(RequestEscapes):
            await http.get(url)


async def test_a_redirect_is_not_followed(project, pool):
    def away(_: Asked) -> tuple[int, object]:
        return 307, {}

    project.routes["/functions/v1/hello"] = away
    project.response_headers = [("location", "http://127.0.0.1:9/steal")]
    client = await create_server_client(project, pool=pool, bearer="a.b.c")
    with pytest.raises(Exception, match="edge function"):
        await client.functions.invoke("hello")
    assert len(project.asked) == 1


async def test_an_unreachable_issuer_is_an_error_that_may_pass(project, pool):
    project.routes["/auth/v1/user"] = lambda _: (503, {})
    client = await create_server_client(project, pool=pool, bearer="a.b.c")
    with pytest.raises(AuthRetryableError):
        await client.auth.get_user("a.b.c")


async def test_the_environment_names_no_proxy_and_no_certificates(project, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    async with Pool() as pool:
        client = await create_server_client(project, pool=pool, bearer="a.b.c")
        assert (await who(client))["apikey"] == KEY


async def test_the_pool_outlives_its_clients(project, pool):
    async with await create_server_client(project, pool=pool, bearer="a.b.c") as first:
        await who(first)
        await first.options.httpx_client.aclose()
    second = await create_server_client(project, pool=pool, bearer="d.e.f")
    assert (await who(second))["authorization"] == "Bearer d.e.f"
