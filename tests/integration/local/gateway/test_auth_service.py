"""Users and sessions over HTTP, with the codes of Supabase Auth's documentation."""

from __future__ import annotations

import asyncio
import uuid

import jwt
import pytest

from tests.integration.local.gateway.standing import NOW, SECRET

EMAIL, PASSWORD = "ada@example.test", "correct horse"
VERSION = {"X-Supabase-Api-Version": "2024-01-01"}


@pytest.fixture
def auth(project):
    async def ask(method, path, body=None, *, token=None, key=None, **options):
        headers = project.headers(token, **({"key": key} if key else {})) | VERSION
        return await project.http.request(
            method, f"{project.url}/auth/v1/{path}", json=body, headers=headers, **options
        )

    return ask


@pytest.fixture
async def session(auth):
    answer = await auth("POST", "signup", {"email": EMAIL, "password": PASSWORD, "data": {"name": "Ada"}})
    assert answer.status_code == 200
    return answer.json()


def refusal(answer):
    assert answer.headers["x-supabase-api-version"] == "2024-01-01"
    return answer.status_code, answer.json()["code"]


async def refresh(auth, token):
    return await auth("POST", "token?grant_type=refresh_token", {"refresh_token": token})


async def sign_in(auth, email=EMAIL, password=PASSWORD):
    return await auth("POST", "token?grant_type=password", {"email": email, "password": password})


async def test_signing_up_begins_a_session(session, project):
    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert claims["sub"] == session["user"]["id"]
    assert claims["email"] == EMAIL
    assert claims["user_metadata"] == {"name": "Ada"}
    assert claims["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert session["expires_at"] == NOW + session["expires_in"]
    assert project.issuer.read(session["access_token"])["aal"] == "aal1"


async def test_the_database_holds_neither_password_nor_refresh_token(session, project):
    rows = await project.run(
        "select u::text from auth.users u union all select t::text from auth.refresh_tokens t"
    )
    text = str(rows)
    assert PASSWORD not in text
    assert session["refresh_token"] not in text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"email": EMAIL, "password": PASSWORD}, (422, "user_already_exists")),
        ({"email": EMAIL.upper(), "password": PASSWORD}, (422, "user_already_exists")),
        ({"email": "b@example.test", "password": "12345"}, (422, "weak_password")),
        ({"email": "no address", "password": PASSWORD}, (400, "validation_failed")),
        ({"email": "b@example.test"}, (400, "validation_failed")),
        ({"email": ["b"], "password": PASSWORD}, (400, "validation_failed")),
        ({"phone": "+1", "password": PASSWORD}, (400, "phone_provider_disabled")),
        ({}, (422, "anonymous_provider_disabled")),
        ({"email": "b@example.test", "password": PASSWORD, "data": 1}, (400, "bad_json")),
        ({"email": "a\0@example.test", "password": PASSWORD}, (400, "validation_failed")),
        ({"email": "b@example.test", "password": PASSWORD, "data": {"a": "\0"}}, (400, "bad_json")),
        ([], (400, "bad_json")),
    ],
)
async def test_a_sign_up_that_cannot_be_is_refused(session, auth, body, expected):
    assert refusal(await auth("POST", "signup", body)) == expected


async def test_a_body_that_is_no_json_is_refused(project):
    answer = await project.http.post(f"{project.url}/auth/v1/signup", content=b"{", headers=project.headers())
    assert answer.json() == {
        "code": 400,
        "error_code": "bad_json",
        "msg": "Could not parse request body as JSON",
    }


async def test_a_wrong_password_and_an_unknown_user_are_answered_alike(session, auth):
    wrong, unknown = await sign_in(auth, password="x" * 9), await sign_in(auth, email="x@example.test")
    assert refusal(wrong) == refusal(unknown) == (400, "invalid_credentials")
    assert wrong.json() == unknown.json()
    assert refusal(await auth("POST", "token?grant_type=password", {"email": 1})) == refusal(wrong)


async def test_a_grant_that_is_not_served_is_refused(auth):
    assert refusal(await auth("POST", "token?grant_type=pkce", {})) == (400, "invalid_credentials")


async def test_a_refresh_token_is_good_once_and_gives_the_next(session, auth, project):
    project.clock.now += 60
    fresh = (await refresh(auth, session["refresh_token"])).json()
    assert fresh["refresh_token"] != session["refresh_token"]
    before, after = (project.issuer.read(one["access_token"]) for one in (session, fresh))
    assert after["session_id"] == before["session_id"]
    assert after["exp"] == before["exp"] + 60
    assert (await refresh(auth, fresh["refresh_token"])).status_code == 200


async def test_a_client_that_missed_the_answer_may_ask_again_at_once(session, auth):
    answers = await asyncio.gather(*(refresh(auth, session["refresh_token"]) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert (await refresh(auth, successors.pop())).status_code == 200


async def test_a_client_that_missed_the_answer_gets_the_same_one_however_late(session, auth, project):
    fresh = (await refresh(auth, session["refresh_token"])).json()
    project.clock.now += 3600
    again = (await refresh(auth, session["refresh_token"])).json()
    assert again["refresh_token"] == fresh["refresh_token"]
    assert (await refresh(auth, fresh["refresh_token"])).status_code == 200


async def test_an_older_refresh_token_is_good_until_its_reuse_interval_is_over(session, auth, project):
    second = (await refresh(auth, session["refresh_token"])).json()
    third = (await refresh(auth, second["refresh_token"])).json()
    project.clock.now += 10
    other = await refresh(auth, session["refresh_token"])
    assert other.status_code == 200
    assert other.json()["refresh_token"] not in (second["refresh_token"], third["refresh_token"])


async def test_an_older_refresh_token_used_later_ends_the_session_for_everyone(session, auth, project):
    second = (await refresh(auth, session["refresh_token"])).json()
    third = (await refresh(auth, second["refresh_token"])).json()
    project.clock.now += 11
    for stolen in (session, third, second):
        assert refusal(await refresh(auth, stolen["refresh_token"])) == (400, "refresh_token_already_used")


async def test_the_database_alone_makes_no_refresh_token(session, auth, project):
    fresh = (await refresh(auth, session["refresh_token"])).json()
    kept = str(await project.run("select t::text, encode(seed, 'base64') from auth.refresh_tokens t"))
    assert fresh["refresh_token"] not in kept
    assert session["refresh_token"] not in kept


@pytest.mark.parametrize("token", ["nobody's", "x" * 5000, "\0"])
async def test_an_unknown_refresh_token_is_refused(auth, token):
    assert refusal(await refresh(auth, token)) == (400, "refresh_token_not_found")


async def test_a_refresh_without_a_token_is_refused(auth):
    assert refusal(await refresh(auth, None)) == (400, "validation_failed")


async def test_a_user_sees_and_changes_themselves(session, auth):
    token = session["access_token"]
    assert (await auth("GET", "user", token=token)).json()["id"] == session["user"]["id"]
    body = {"email": "new@example.test", "data": {"name": None, "team": "x"}, "password": "another horse"}
    changed = (await auth("PUT", "user", body, token=token)).json()
    assert changed["email"] == "new@example.test"
    assert changed["user_metadata"] == {"team": "x"}
    assert (await sign_in(auth, "new@example.test", "another horse")).status_code == 200
    assert refusal(await sign_in(auth)) == (400, "invalid_credentials")


async def test_the_same_password_again_is_refused(session, auth):
    answer = await auth("PUT", "user", {"password": PASSWORD}, token=session["access_token"])
    assert refusal(answer) == (422, "same_password")


async def test_a_new_password_ends_the_other_sessions(session, auth):
    other = (await sign_in(auth)).json()
    await auth("PUT", "user", {"password": "another horse"}, token=session["access_token"])
    assert refusal(await refresh(auth, other["refresh_token"])) == (400, "refresh_token_not_found")
    assert (await refresh(auth, session["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    ("scope", "own", "other"),
    [("local", 400, 200), ("others", 200, 400), ("global", 400, 400), ("", 400, 400)],
)
async def test_signing_out_ends_the_sessions_of_its_scope(session, auth, scope, own, other):
    second = (await sign_in(auth)).json()
    answer = await auth("POST", f"logout?scope={scope}", token=session["access_token"])
    assert answer.status_code == 204
    assert (await refresh(auth, session["refresh_token"])).status_code == own
    assert (await refresh(auth, second["refresh_token"])).status_code == other


async def test_a_token_of_a_session_that_was_signed_out_is_refused(session, auth):
    await auth("POST", "logout", token=session["access_token"])
    answer = await auth("GET", "user", token=session["access_token"])
    assert refusal(answer) == (403, "session_not_found")


async def test_a_scope_of_its_own_invention_is_refused(session, auth):
    answer = await auth("POST", "logout?scope=world", token=session["access_token"])
    assert refusal(answer) == (400, "validation_failed")
    assert answer.json()["message"] == 'Unsupported logout scope "world"'


async def test_nobody_in_particular_is_not_a_user(auth, project):
    assert refusal(await auth("GET", "user")) == (403, "bad_jwt")
    stranger = project.issuer.mint(user_id=uuid.uuid4(), tenant_id=None)
    assert refusal(await auth("GET", "user", token=stranger)) == (403, "user_not_found")
    odd = project.issuer.sign({"sub": "me", "session_id": "x", "role": "authenticated"})
    assert refusal(await auth("GET", "user", token=odd)) == (403, "bad_jwt")
    answer = await project.http.get(f"{project.url}/auth/v1/user", headers={"apikey": SECRET})
    assert answer.json()["error_code"] == "no_authorization"


async def test_what_is_not_served_says_so(auth):
    assert refusal(await auth("POST", "otp", {})) == (404, "not_found")
    assert refusal(await auth("DELETE", "signup")) == (405, "not_found")
    assert (await auth("GET", "settings")).json()["mailer_autoconfirm"] is True


@pytest.fixture
def admin(auth):
    return lambda method, path="", body=None: auth(method, f"admin/users{path}", body, key=SECRET)


async def test_only_the_service_role_administers_users(session, auth):
    for token in (None, session["access_token"]):
        for method, path in [("GET", ""), ("POST", ""), ("PUT", "/x"), ("DELETE", "/x"), ("GET", "/x")]:
            assert refusal(await auth(method, f"admin/users{path}", token=token)) == (403, "not_admin")


async def test_an_administrator_makes_a_user_of_a_tenant(admin, auth, project):
    tenant = str(uuid.uuid4())
    body = {
        "email": EMAIL,
        "password": PASSWORD,
        "email_confirm": True,
        "app_metadata": {"tenant_id": tenant},
    }
    made = (await admin("POST", "", body)).json()
    claims = project.issuer.read((await sign_in(auth)).json()["access_token"])
    assert claims["app_metadata"]["tenant_id"] == tenant
    assert claims["sub"] == made["id"]
    changed = await admin("PUT", f"/{made['id']}", {"app_metadata": {"tenant_id": None}})
    assert "tenant_id" not in changed.json()["app_metadata"]
    assert (await admin("GET", f"/{made['id']}")).json()["app_metadata"] == changed.json()["app_metadata"]


async def test_an_administrator_may_choose_the_id(admin):
    chosen = str(uuid.uuid4())
    assert (await admin("POST", "", {"id": chosen, "email": EMAIL})).json()["id"] == chosen


async def test_an_address_that_was_never_confirmed_cannot_sign_in(admin, auth):
    made = (await admin("POST", "", {"email": EMAIL, "password": PASSWORD})).json()
    assert refusal(await sign_in(auth)) == (400, "email_not_confirmed")
    await admin("PUT", f"/{made['id']}", {"email_confirm": True})
    assert (await sign_in(auth)).status_code == 200


async def test_a_ban_lasts_as_long_as_it_says(session, admin, auth, project):
    user = session["user"]["id"]
    await admin("PUT", f"/{user}", {"ban_duration": "1h30m"})
    assert refusal(await sign_in(auth)) == (400, "user_banned")
    assert refusal(await refresh(auth, session["refresh_token"])) == (400, "user_banned")
    project.clock.now += 5401
    assert (await sign_in(auth)).status_code == 200
    await admin("PUT", f"/{user}", {"ban_duration": "24h"})
    await admin("PUT", f"/{user}", {"ban_duration": "none"})
    assert (await sign_in(auth)).status_code == 200
    for odd in ("soon", "1h later", "-1h"):
        assert refusal(await admin("PUT", f"/{user}", {"ban_duration": odd})) == (400, "validation_failed")


async def test_users_are_listed_by_pages(admin):
    for number in range(5):
        await admin("POST", "", {"email": f"u{number}@example.test"})
    pages = [(await admin("GET", f"?page={page}&per_page=2")) for page in (1, 2, 3)]
    assert [len(page.json()["users"]) for page in pages] == [2, 2, 1]
    assert pages[0].headers["x-total-count"] == "5"
    assert 'rel="next"' in pages[0].headers["link"]
    assert 'rel="next"' not in pages[2].headers["link"]
    assert refusal(await admin("GET", "?page=x")) == (400, "validation_failed")


async def test_a_deleted_user_is_gone_with_their_sessions(session, admin, auth):
    user = session["user"]["id"]
    assert (await admin("DELETE", f"/{user}", {})).json() == {}
    assert refusal(await refresh(auth, session["refresh_token"])) == (400, "refresh_token_not_found")
    assert refusal(await auth("GET", "user", token=session["access_token"])) == (403, "user_not_found")
    assert refusal(await admin("DELETE", f"/{user}")) == (404, "user_not_found")


async def test_a_softly_deleted_user_keeps_an_empty_row(session, admin, auth, project):
    user = session["user"]["id"]
    await admin("DELETE", f"/{user}", {"should_soft_delete": True})
    assert refusal(await admin("GET", f"/{user}")) == (404, "user_not_found")
    assert refusal(await refresh(auth, session["refresh_token"])) == (400, "refresh_token_not_found")
    assert await project.run("select email, encrypted_password from auth.users") == [(None, None)]


async def test_an_administrators_mistakes_are_named(session, admin):
    taken = {"email": EMAIL}
    other = (await admin("POST", "", {"email": "o@example.test"})).json()
    assert refusal(await admin("POST", "", taken)) == (422, "email_exists")
    assert refusal(await admin("PUT", f"/{other['id']}", taken)) == (422, "email_exists")
    assert refusal(await admin("POST", "", {})) == (400, "validation_failed")
    assert refusal(await admin("GET", "/no-id")) == (404, "validation_failed")
    assert refusal(await admin("PUT", f"/{uuid.uuid4()}", {})) == (404, "user_not_found")
    assert refusal(await admin("POST", "", {"email": "z@example.test", "role": "postgres"})) == (
        400,
        "validation_failed",
    )


async def test_the_signing_keys_are_changed_by_the_secret_key_alone(session, auth, project):
    path, step = "admin/signing-keys", {"step": "announce"}
    for token in (None, session["access_token"]):
        for method in ("GET", "POST"):
            assert refusal(await auth(method, path, step, token=token)) == (403, "not_admin")
    assert refusal(await auth("POST", path, {"step": "rotate"}, key=SECRET)) == (409, "conflict")
    for body in ({}, {"step": "explode"}, {"step": ["rotate"]}):
        assert refusal(await auth("POST", path, body, key=SECRET)) == (400, "validation_failed")
    assert (await auth("GET", path, key=SECRET)).json() == {
        "keys": [{"kid": project.issuer.kid, "status": "in_use"}]
    }
    assert len((await auth("POST", path, step, key=SECRET)).json()["keys"]) == 2


async def test_a_session_outlives_the_key_that_began_it(session, auth, project):
    for step in ("announce", "rotate"):
        await auth("POST", "admin/signing-keys", {"step": step}, key=SECRET)
    assert (await auth("GET", "user", token=session["access_token"])).status_code == 200
    fresh = (await refresh(auth, session["refresh_token"])).json()
    await auth("POST", "admin/signing-keys", {"step": "retire"}, key=SECRET)
    assert refusal(await auth("GET", "user", token=session["access_token"])) == (403, "bad_jwt")
    assert (await auth("GET", "user", token=fresh["access_token"])).status_code == 200
