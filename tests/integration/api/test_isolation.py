"""Who may reach what: every route, without a token, with a bad one, from outside, from next door."""

import uuid

import psycopg
import pytest

from sba_api.app import create_app
from sba_api.routing import TenantRoute
from sba_api.settings import ApiSettings
from tests.integration.api.conftest import v1_routes

BODIES = {
    "/v1/runs": {"prompt": "x"},
    "/v1/tools/{name}/execute": {"arguments": {"expression": "1"}},
    "/v1/knowledge/documents": {"title": "x", "content": "y"},
    "/v1/knowledge/search": {"query": "x"},
}
SOMEWHERE = ApiSettings(
    database_url="postgresql://x@127.0.0.1:1/x", redis_url="redis://127.0.0.1:1", url="http://127.0.0.1:1"
)
ROUTES = [(method, route.path) for method, route in v1_routes(create_app(SOMEWHERE))]


async def call(api, method, path, headers, *, some_id=None):
    filled = path.replace("{name}", "calculator")
    for name in ("{run_id}", "{document_id}"):
        filled = filled.replace(name, str(some_id or uuid.uuid4()))
    body = {"json": BODIES[path]} if method == "POST" and path in BODIES else {}
    return await api.request(method, filled, headers=headers, **body)


def test_the_walk_covers_the_surface():
    assert len(ROUTES) == 15
    assert all(type(route) is TenantRoute for _, route in v1_routes(create_app(SOMEWHERE)))


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_token_is_401_on_every_route(api, method, path):
    answer = await call(api, method, path, {})
    assert answer.status_code == 401
    assert answer.json()["code"] == "token_missing"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_outsider_is_403_on_every_route(api, issuer, tenants, method, path):
    outsider = {"Authorization": f"Bearer {issuer.token(uuid.uuid4(), tenants[0].id)}"}
    answer = await call(api, method, path, outsider)
    assert answer.status_code == 403, answer.text
    assert answer.json()["code"] == "not_a_member"


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_picking_a_foreign_tenant_is_403_on_every_route(api, acme, tenants, method, path):
    answer = await call(api, method, path, {**acme, "X-Tenant-Id": str(tenants[1].id)})
    assert answer.status_code == 403
    assert answer.json()["code"] == "not_a_member"


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_revoked_membership_ends_on_every_route_at_once(
    api, acme, tenants, database_urls, *, method, path
):
    with psycopg.connect(database_urls.admin, autocommit=True) as connection:
        connection.execute(
            "update public.memberships set revoked_at = now() where tenant_id = %s", (tenants[0].id,)
        )
    assert (await call(api, method, path, acme)).status_code == 403


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path in ROUTES if "_id}" in path])
async def test_a_foreign_an_unknown_and_an_impossible_id_are_the_same_404(api, acme, globex, method, path):
    if "run_id" in path:
        theirs = (await api.post("/v1/runs", json={"prompt": "x"}, headers=globex)).json()["id"]
    else:
        document = {"title": "x", "content": "y"}
        theirs = (await api.post("/v1/knowledge/documents", json=document, headers=globex)).json()["id"]
    known = {**acme, "X-Request-Id": "the-same-id"}
    ids = [theirs, str(uuid.uuid4()), "not-a-uuid", "0" * 36, f"urn:uuid:{theirs}", f"{theirs}%00"]
    answers = [await call(api, method, path, known, some_id=each) for each in ids]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["content-length"] for answer in answers}) == 1
    still_there = await call(api, "GET", path.removesuffix("/cancel"), globex, some_id=theirs)
    assert still_there.status_code == 200
    assert still_there.json().get("status") in {None, "queued"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": 1_700_000_001}, "token_expired"),
        ({"aud": "elsewhere"}, "audience_wrong"),
        ({"iss": "https://evil.example/auth/v1"}, "issuer_wrong"),
        ({"role": "service_role"}, "role_refused"),
        ({"nbf": 3_999_999_999}, "token_not_yet_valid"),
    ],
)
async def test_a_token_that_is_not_good_says_why(api, issuer, tenants, changes, code):
    token = issuer.token(tenants[0].user, tenants[0].id, **changes)
    answer = await api.get("/v1/runs", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.json()["code"] == code
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwdw==",
        "Bearer x",
        "Bearer a.b.c",
        "bearer\x00x",
        "Bearer " + "a" * 9_000,
    ],
)
async def test_what_is_no_token_is_401(api, value):
    answer = await api.get("/v1/runs", headers={"Authorization": value})
    assert answer.status_code == 401


async def test_two_authorization_headers_are_refused(api, acme):
    both = [("Authorization", acme["Authorization"]), ("Authorization", "Bearer other")]
    answer = await api.get("/v1/runs", headers=both)
    assert answer.status_code == 401


async def test_a_token_from_user_metadata_names_no_tenant(api, issuer, tenants):
    token = issuer.token(tenants[0].user, None, user_metadata={"tenant_id": str(tenants[0].id)})
    answer = await api.get("/v1/runs", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert answer.json()["code"] == "tenant_missing"


async def test_a_member_of_two_tenants_picks_one_by_header(api, issuer, tenants, database_urls, globex):
    first, second = tenants
    with psycopg.connect(database_urls.admin, autocommit=True) as connection:
        connection.execute(
            "insert into public.memberships (tenant_id, user_id, role) values (%s, %s, 'member')",
            (second.id, first.user),
        )
    headers = {**issuer.headers(first), "X-Tenant-Id": str(second.id)}
    run = (await api.post("/v1/runs", json={"prompt": "x"}, headers=headers)).json()
    assert (await api.get(f"/v1/runs/{run['id']}", headers=globex)).status_code == 200
    assert (await api.get(f"/v1/runs/{run['id']}", headers=issuer.headers(first))).status_code == 404
    without_claim = {
        "Authorization": f"Bearer {issuer.token(first.user, None)}",
        "X-Tenant-Id": str(second.id),
    }
    assert (await api.get(f"/v1/runs/{run['id']}", headers=without_claim)).status_code == 200


@pytest.mark.parametrize(
    "value", ["", "x", "00000000-0000-0000-0000-00000000000", "{00000000-0000-0000-0000-000000000000}", "*"]
)
async def test_a_malformed_tenant_header_is_400(api, acme, value):
    answer = await api.get("/v1/runs", headers={**acme, "X-Tenant-Id": value})
    assert answer.status_code == 400
    assert answer.json()["code"] == "tenant_malformed"


async def test_two_tenant_headers_are_400(api, acme, tenants):
    headers = [*acme.items(), ("X-Tenant-Id", str(tenants[0].id)), ("X-Tenant-Id", str(tenants[1].id))]
    assert (await api.get("/v1/runs", headers=headers)).status_code == 400


async def test_lists_show_only_the_tenants_own(api, acme, globex):
    await api.post("/v1/runs", json={"prompt": "x"}, headers=globex)
    await api.post("/v1/knowledge/documents", json={"title": "x", "content": "y"}, headers=globex)
    for path in ("/v1/runs", "/v1/knowledge/documents", "/v1/audit", "/v1/usage"):
        assert (await api.get(path, headers=acme)).json()["items"] == []
