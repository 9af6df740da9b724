"""The door: keys, tokens, and what it says of itself."""

from __future__ import annotations

import uuid

import pytest

from tests.integration.local.gateway.standing import ANON, NOW, SECRET


async def test_every_answer_says_that_it_is_for_development_only(project):
    for path in ("/auth/v1/health", "/rest/v1/tenants", "/nowhere", "/storage/v1/object/public/a/b"):
        answer = await project.http.get(project.url + path)
        assert answer.headers["x-sba-stand-in"] == "development only"


async def test_a_request_without_a_key_is_refused_as_the_hosted_gateway_does(project):
    answer = await project.http.get(f"{project.url}/rest/v1/tenants")
    assert answer.status_code == 401
    assert answer.json()["message"] == "No API key found in request"


@pytest.mark.parametrize("key", ["sb_secret_other", "", "sb_secret_standin", "%00", "sb_secret_standing "])
async def test_another_key_is_refused(project, key):
    answer = await project.http.get(f"{project.url}/rest/v1/tenants", params={"apikey": key + "x"})
    assert answer.status_code == 401
    assert answer.json()["message"] == "Invalid API key"


async def test_the_secret_key_sees_past_policies_and_the_public_one_does_not(project):
    await project.tenant((uuid.uuid4(), "owner"))
    url = f"{project.url}/rest/v1/tenants?select=slug"
    everything = await project.http.get(url, headers=project.headers(key=SECRET))
    assert len(everything.json()) == 1
    nothing = await project.http.get(url, headers=project.headers())
    assert nothing.status_code in (401, 403)
    assert nothing.json()["code"] == "42501"


async def test_a_users_token_sees_their_own_tenant_only(project):
    tenant, token = await project.member()
    await project.member()
    answer = await project.http.get(
        f"{project.url}/rest/v1/tenants?select=id", headers=project.headers(token)
    )
    assert answer.json() == [{"id": str(tenant)}]


async def test_an_expired_token_is_refused_by_each_service_in_its_own_words(project):
    _, token = await project.member()
    project.clock.now = NOW + 7200
    headers = project.headers(token)
    rest = await project.http.get(f"{project.url}/rest/v1/tenants", headers=headers)
    assert (rest.status_code, rest.json()["code"]) == (401, "PGRST303")
    auth = await project.http.get(f"{project.url}/auth/v1/user", headers=headers)
    assert (auth.status_code, auth.json()["error_code"]) == (403, "bad_jwt")
    storage = await project.http.get(f"{project.url}/storage/v1/object/a/b", headers=headers)
    assert (storage.status_code, storage.json()["statusCode"]) == (400, "403")
    functions = await project.http.post(f"{project.url}/functions/v1/any", headers=headers)
    assert (functions.status_code, functions.json()["message"]) == (401, "Invalid JWT")


async def test_a_token_of_another_issuer_is_refused(project):
    _, token = await project.member()
    head, body, signature = token.split(".")
    forged = f"{head}.{body}.{signature[:-4]}AAAA"
    for bearer in (forged, "x", "a.b.c", f"{head}.{body}."):
        answer = await project.http.get(f"{project.url}/rest/v1/tenants", headers=project.headers(bearer))
        assert (answer.status_code, answer.json()["code"]) == (401, "PGRST301")


async def test_a_token_may_not_name_another_role(project):
    token = project.issuer.sign({"sub": str(uuid.uuid4()), "role": "postgres"})
    answer = await project.http.get(f"{project.url}/rest/v1/tenants", headers=project.headers(token))
    assert answer.status_code == 401


async def test_a_page_of_another_origin_may_ask(project):
    headers = {
        "Origin": "http://127.0.0.1:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "apikey, content-type",
    }
    answer = await project.http.options(f"{project.url}/rest/v1/tenants", headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-headers"] == "apikey, content-type"
    answer = await project.http.get(
        f"{project.url}/auth/v1/settings", headers={"Origin": "http://a", "apikey": ANON}
    )
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_rotated_key_was_known_before_and_the_old_tokens_stay_good_until_it_is_retired(project):
    async def published():
        answer = await project.http.get(f"{project.url}/auth/v1/.well-known/jwks.json")
        return [key["kid"] for key in answer.json()["keys"]]

    async def accepted(token):
        answer = await project.http.get(f"{project.url}/rest/v1/tenants", headers=project.headers(token))
        return answer.status_code == 200

    _, old = await project.member()
    announced = project.issuer.announce()
    assert announced in await published()
    assert project.issuer.rotate() == announced
    _, new = await project.member()
    assert await accepted(old)
    assert await accepted(new)
    project.issuer.retire()
    assert await published() == [announced]
    assert not await accepted(old)
    assert await accepted(new)
