"""Sessions in a request's cookies: used, refreshed once, changed and forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sba_supabase import CookieOptions, Pool, SessionUnavailable, create_server_client
from sba_supabase.auth.cookies import CookieJar, encode
from sba_supabase.auth.flights import Flights
from sba_supabase.auth.sessions import parse_session
from tests.unit.supabase.issuer import NOW, Clock
from tests.unit.supabase.project import KEY, USER, Asked, Project, session, user

NAME = "sb-127-auth-token"
TOKEN = "/auth/v1/token"


@pytest.fixture
async def project() -> AsyncIterator[Project]:
    async with Project().running() as running:
        yield running


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with Pool() as opened:
        yield opened


def brought(members: dict[str, Any], name: str = NAME) -> dict[str, str]:
    """The cookies of a browser that has this session."""
    jar = CookieJar({}, CookieOptions())
    jar.write(name, json.dumps(members))
    return {cookie.name: cookie.value for cookie in jar.changes()}


def left(client: Any, cookies: dict[str, str]) -> dict[str, str]:
    """The cookies a browser has after the response."""
    told = [
        value.split(";")[0].split("=", 1) for name, value in client.response_headers() if name == "set-cookie"
    ]
    return {name: value for name, value in {**cookies, **dict(told)}.items() if value}


def stored(cookies: dict[str, str], name: str = NAME) -> dict[str, Any]:
    return json.loads(CookieJar(cookies, CookieOptions()).read(name) or "null")


async def acts_as(client: Any) -> str:
    answer = await client.table("things").select("*").execute()
    return answer.data[0]["authorization"]


async def open_client(project: Project, pool: Pool, cookies: dict[str, str], **options: Any) -> Any:
    return await create_server_client(project, pool=pool, cookies=cookies, clock=Clock(), **options)


async def test_a_living_session_acts_as_its_user_without_a_word_to_the_issuer(project, pool):
    cookies = brought(session(ends=NOW + 3600))
    client = await open_client(project, pool, cookies)
    assert await acts_as(client) == "Bearer access.ana.token"
    assert client.response_headers() == []
    assert project.to(TOKEN) == []


@pytest.mark.parametrize("ends", [NOW - 1, NOW, NOW + 29])
async def test_a_session_at_its_end_is_refreshed_first(ends: float, project, pool):
    fresh = {**session("new", ends=NOW + 3600), "weak_password": None, "later": {"field": [1]}}
    project.routes[TOKEN] = lambda _: (200, fresh)
    cookies = brought(session(ends=ends))
    client = await open_client(project, pool, cookies)
    assert await acts_as(client) == "Bearer access.new.token"
    (asked,) = project.to(TOKEN)
    assert (asked.query, asked.body) == ({"grant_type": ["refresh_token"]}, {"refresh_token": "refresh-ana"})
    assert asked.headers["apikey"] == KEY
    assert stored(left(client, cookies)) == fresh
    assert any(name == "cache-control" for name, _ in client.response_headers())


async def test_an_answer_without_expires_at_gets_one(project, pool):
    fresh = session("new", ends=0)
    del fresh["expires_at"]
    project.routes[TOKEN] = lambda _: (200, fresh)
    cookies = brought(session(ends=NOW))
    client = await open_client(project, pool, cookies)
    assert stored(left(client, cookies))["expires_at"] == NOW + 3600


async def test_requests_at_the_same_time_cause_one_refresh(project, pool):
    project.gate = asyncio.Event()
    project.routes[TOKEN] = lambda _: (200, session("new", ends=NOW + 3600))
    cookies = brought(session(ends=NOW))
    tasks = [asyncio.create_task(open_client(project, pool, cookies)) for _ in range(20)]
    await asyncio.wait_for(project.arrived.wait(), 10)
    tasks[0].cancel()
    project.gate.set()
    clients = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(clients[0], asyncio.CancelledError)
    assert len(project.to(TOKEN)) == 1
    for client in clients[1:]:
        assert client.access_token == "access.new.token"
        assert stored(left(client, cookies))["refresh_token"] == "refresh-new"
    assert len(pool.flights) == 0


async def test_different_sessions_are_refreshed_apart(project, pool):
    def grant(asked: Asked) -> tuple[int, Any]:
        return 200, session(f"new-{asked.body['refresh_token'].split('-')[1]}", ends=NOW + 3600)

    project.routes[TOKEN] = grant
    clients = await asyncio.gather(
        *(open_client(project, pool, brought(session(name, ends=NOW))) for name in ("ana", "bo", "cy"))
    )
    assert [client.access_token for client in clients] == [
        f"access.new-{name}.token" for name in ("ana", "bo", "cy")
    ]


@pytest.mark.parametrize("status", [400, 403])
async def test_a_session_that_has_ended_is_forgotten(status: int, project, pool):
    project.routes[TOKEN] = lambda _: (status, {"error_code": "refresh_token_not_found", "msg": "no"})
    cookies = brought({**session(ends=NOW), "padding": "x" * 4000})
    assert len(cookies) > 1
    client = await open_client(project, pool, cookies)
    assert client.access_token is None
    assert left(client, cookies) == {}


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, {}),
        (429, {}),
        (401, {"message": "Invalid API key"}),
        (200, {"access_token": "a"}),
        (200, []),
        (200, "?"),
        (200, b"<html>"),
        (200, {**session(ends=NOW), "expires_at": 10**400}),
        (200, b"[" * 100_000),
        (302, {}),
    ],
)
async def test_an_issuer_that_cannot_answer_costs_nobody_their_session(status: int, answer, project, pool):
    project.routes[TOKEN] = lambda _: (status, answer)
    with pytest.raises(SessionUnavailable):
        await open_client(project, pool, brought(session(ends=NOW)))


async def test_a_session_that_lives_a_little_longer_does_so_without_the_issuer(project, pool):
    project.routes[TOKEN] = lambda _: (503, {})
    client = await open_client(project, pool, brought(session(ends=NOW + 5)))
    assert client.access_token == "access.ana.token"
    assert client.response_headers() == []
    assert len(project.to(TOKEN)) == 1


async def test_an_issuer_that_is_gone_costs_nobody_their_session(project, pool):
    project.url = "http://127.0.0.1:9"
    with pytest.raises(SessionUnavailable):
        await open_client(project, pool, brought(session(ends=NOW)))


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"access_token": "a"},
        {"access_token": "a\r\nb", "refresh_token": "r", "expires_at": NOW * 2},
        {"access_token": "a", "refresh_token": "r", "expires_at": True},
        {"access_token": "a", "refresh_token": "r", "expires_at": "1"},
        {"access_token": "a", "refresh_token": 1, "expires_at": NOW * 2},
        {"access_token": "a", "refresh_token": "r", "expires_at": 10**400},
        {"access_token": "a", "refresh_token": "r", "expires_at": float("inf")},
        {"access_token": "a", "refresh_token": "r", "expires_at": float("nan")},
    ],
)
async def test_what_is_no_session_is_nobodys(members: dict[str, Any], project, pool):
    client = await open_client(project, pool, brought(members))
    assert await acts_as(client) == f"Bearer {KEY}"


@pytest.mark.parametrize("text", ["[]", "null", "1", '"x"', None, "{", "[" * 100_000])
def test_what_is_no_document_is_no_session(text: str | None):
    assert parse_session(text) is None


async def test_a_damaged_cookie_is_nobodys(project, pool):
    client = await open_client(project, pool, {NAME: "base64-!!", f"{NAME}.0": "x"})
    assert client.access_token is None


async def test_a_session_without_its_user_still_acts(project, pool):
    members = session(ends=NOW * 2)
    del members["user"]
    client = await open_client(project, pool, brought(members))
    assert await acts_as(client) == "Bearer access.ana.token"
    assert await client.auth.get_session() is None


@pytest.mark.parametrize(
    "wrong", [{"expires_in": 3599.4809}, {"expires_at": NOW * 2 + 0.5}, {"expires_in": None}]
)
async def test_a_session_as_javascript_sets_it_is_a_session_here(wrong: dict[str, Any], project, pool):
    """`auth.setSession` of supabase-js stores the rest of a second; signing out must find the session."""
    members = {name: value for name, value in {**session(ends=NOW * 2), **wrong}.items() if value is not None}
    client = await open_client(project, pool, brought(members))
    found = await client.auth.get_session()
    assert (found.access_token, found.user.id) == ("access.ana.token", USER)
    await client.auth.sign_out()
    assert [asked.headers["authorization"] for asked in project.to("/auth/v1/logout")] == [
        "Bearer access.ana.token"
    ]


async def test_signing_in_sets_the_cookies_and_the_next_request_is_theirs(project, pool):
    project.routes[TOKEN] = lambda _: (200, session(ends=NOW * 2))
    client = await open_client(project, pool, {})
    await client.auth.sign_in_with_password({"email": "ana@example.com", "password": "x"})
    assert await acts_as(client) == "Bearer access.ana.token"
    cookies = left(client, {})
    assert stored(cookies)["user"]["user_metadata"] == {"name": "Zoë 🦊"}
    again = await open_client(project, pool, cookies)
    assert await acts_as(again) == "Bearer access.ana.token"
    assert (await again.auth.get_session()).refresh_token == "refresh-ana"


async def test_signing_out_forgets_the_cookies(project, pool):
    project.routes["/auth/v1/logout"] = lambda _: (204, b"")
    cookies = brought(session(ends=NOW * 2))
    client = await open_client(project, pool, cookies)
    await client.auth.sign_out()
    (asked,) = project.to("/auth/v1/logout")
    assert asked.headers["authorization"] == "Bearer access.ana.token"
    assert left(client, cookies) == {}
    assert await acts_as(client) == f"Bearer {KEY}"


async def test_a_changed_user_is_in_the_cookies(project, pool):
    project.routes["/auth/v1/user"] = lambda _: (200, {**user(), "email": "new@example.com"})
    cookies = brought(session(ends=NOW * 2))
    client = await open_client(project, pool, cookies)
    await client.auth.update_user({"email": "new@example.com"})
    assert stored(left(client, cookies))["user"]["email"] == "new@example.com"


async def test_a_sign_in_elsewhere_finds_its_verifier_on_the_way_back(project, pool):
    project.routes[TOKEN] = lambda _: (200, session(ends=NOW * 2))
    away = await open_client(project, pool, {})
    await away.auth.sign_in_with_oauth({"provider": "github"})
    (header,) = [value for name, value in away.response_headers() if name == "set-cookie"]
    assert header.startswith(f"{NAME}-code-verifier=base64-")
    assert header.endswith("HttpOnly; Secure; SameSite=Lax")
    cookies = left(away, {})
    verifier = json.loads(CookieJar(cookies, CookieOptions()).read(f"{NAME}-code-verifier"))
    back = await open_client(project, pool, cookies)
    await back.auth.exchange_code_for_session({"auth_code": "c", "redirect_to": "", "code_verifier": ""})
    (asked,) = project.to(TOKEN)
    assert asked.body == {"auth_code": "c", "code_verifier": verifier}
    assert set(left(back, cookies)) == {NAME}


async def test_a_verifier_written_by_javascript_is_read(project, pool):
    project.routes[TOKEN] = lambda _: (200, session(ends=NOW * 2))
    cookies = {f"{NAME}-code-verifier": encode('"from-javascript/recovery"')}
    client = await open_client(project, pool, cookies)
    await client.auth.exchange_code_for_session({"auth_code": "c", "redirect_to": "", "code_verifier": ""})
    assert project.to(TOKEN)[0].body["code_verifier"] == "from-javascript"


async def test_the_cookie_can_have_another_name_and_a_domain(project, pool):
    options = CookieOptions(name="sid", domain=".example.com")
    cookies = brought(session(ends=NOW), "sid")
    project.routes[TOKEN] = lambda _: (200, session("new", ends=NOW * 2))
    client = await open_client(project, pool, cookies, cookie_options=options)
    headers = [value for name, value in client.response_headers() if name == "set-cookie"]
    assert all("; Domain=.example.com;" in value and value.startswith("sid=") for value in headers)


def test_tokens_are_in_no_repr():
    members = session("hunter2", ends=1)
    assert "hunter2" not in repr(parse_session(json.dumps(members)))


async def test_a_flight_that_is_given_up_takes_nobody_along():
    flights = Flights()
    started = asyncio.Event()

    async def never() -> None:
        started.set()
        await asyncio.Event().wait()

    waiting = asyncio.create_task(flights.join("secret", never))
    await started.wait()
    await flights.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(flights) == 0
    await flights.aclose()
