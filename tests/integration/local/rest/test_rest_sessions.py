"""Roles, row-level security, settings, statuses and the schema cache, as the documentation has them."""

import asyncio
import json

import httpx

from sba_local.supabase.rest import LoginTooPowerful, RestApp, RestSettings
from tests.integration.local.rest.world import USER_A, USER_B, Gate, client_of, token


async def test_each_caller_is_their_own_role(rest, anonymous, user):
    roles = [(await client.get("/rpc/who")).json() for client in (rest, anonymous, user)]
    assert roles == ["service_role", "anon", "authenticated"]


async def test_row_level_security_holds(app, rest, anonymous, user):
    async with client_of(app, token(USER_B)) as other:
        assert [row["body"] for row in (await user.get("/notes")).json()] == ["of a"]
        assert [row["body"] for row in (await other.get("/notes")).json()] == ["of b"]
        assert (await anonymous.get("/notes")).json() == []
        assert len((await rest.get("/notes")).json()) == 2
        stolen = await user.post("/notes", json={"owner": USER_B, "body": "x"})
        assert (stolen.status_code, stolen.json()["code"]) == (403, "42501")
        assert (await user.patch("/notes?body=neq.x", json={"body": "y"})).headers["content-range"] == "0-0/*"
        assert (await user.delete("/notes?body=eq.of b")).status_code == 204
    assert sorted(row["body"] for row in (await rest.get("/notes")).json()) == ["of b", "y"]


async def test_interleaved_callers_never_see_each_other(app):
    async def ask(subject, expected):
        async with client_of(app, token(subject)) as client:
            answers = await asyncio.gather(*(client.get("/notes?select=body") for _ in range(10)))
        assert all(answer.json() == [{"body": expected}] for answer in answers)

    await asyncio.gather(*(ask(*who) for _ in range(3) for who in ((USER_A, "of a"), (USER_B, "of b"))))


async def test_a_missing_privilege_is_401_for_nobody_and_403_for_somebody(anonymous, user):
    answer = await anonymous.get("/hidden")
    assert (answer.status_code, answer.json()["code"]) == (401, "42501")
    assert answer.headers["www-authenticate"] == "Bearer"
    answer = await user.get("/hidden")
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    assert (await anonymous.post("/products", json={"sku": "x"})).status_code == 401


async def test_the_request_can_be_read_in_the_database(user):
    async def asked(name):
        params, headers = {"name": name}, {"X-Tenant-Id": "t1", "Cookie": "sessionId=abc"}
        return (await user.get("/rpc/asked", params=params, headers=headers)).json()

    assert json.loads(await asked("request.jwt.claims")) == {"sub": USER_A, "role": "authenticated"}
    assert json.loads(await asked("request.headers"))["x-tenant-id"] == "t1"
    assert json.loads(await asked("request.cookies")) == {"sessionId": "abc"}
    assert (await asked("request.method"), await asked("request.path")) == ("GET", "/rpc/asked")
    assert await asked("search_path") == '"public", "extensions"'


async def test_settings_end_with_the_request(app, anonymous, user):
    await user.get("/notes")
    params = {"name": "request.jwt.claims"}
    assert json.loads((await anonymous.get("/rpc/asked", params=params)).json()) == {"role": "anon"}


async def test_the_time_zone_is_chosen(rest):
    answer = await rest.get("/rpc/moment", headers={"Prefer": "timezone=America/Los_Angeles"})
    assert answer.json() == "2023-10-18T05:37:59-07:00"
    assert "timezone=America/Los_Angeles" in answer.headers["preference-applied"]
    answer = await rest.get("/rpc/moment", headers={"Prefer": "timezone=Jupiter/Red_Spot"})
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers
    answer = await rest.get("/rpc/moment", headers={"Prefer": "handling=strict, timezone=Jupiter/Red_Spot"})
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST122")


STATUSES = {
    "08006": 503, "09000": 500, "0L000": 403, "0P000": 403, "23503": 409, "23505": 409, "25006": 405,
    "25000": 500, "28000": 403, "2D000": 500, "38000": 500, "39000": 500, "3B000": 500, "40001": 500,
    "53400": 500, "53000": 503, "54000": 500, "55000": 500, "57014": 500, "58000": 500, "F0000": 500,
    "HV000": 500, "P0001": 400, "P0002": 500, "XX000": 500, "42883": 404, "42P01": 404, "42P17": 500,
    "42501": 403, "22012": 400,
}  # fmt: skip


async def test_every_sqlstate_has_the_documented_status(user):
    async def status(state):
        return (await user.post("/rpc/fails_with", json={"state": state})).status_code

    assert {state: await status(state) for state in STATUSES} == STATUSES


async def test_a_statement_that_takes_too_long_is_ended(films):
    settings = RestSettings(statement_timeout=50)
    async with RestApp(films.url, settings=settings) as app, client_of(app, "sb_secret_test") as client:
        answer = await client.post("/rpc/forever")
        assert (answer.status_code, answer.json()["code"]) == (500, "57014")
        assert (await client.get("/films")).status_code == 200


async def test_only_the_exposed_schema_is_there(rest):
    for header, method in (("Accept-Profile", "GET"), ("Content-Profile", "POST")):
        answer = await rest.request(method, "/films", headers={header: "pg_catalog"})
        assert answer.status_code == 406
        assert answer.json() == {
            "code": "PGRST106",
            "message": "Invalid schema: pg_catalog",
            "details": None,
            "hint": "Only the following schemas are exposed: public",
        }
    assert (await rest.get("/films", headers={"Accept-Profile": "public"})).status_code == 200


async def test_an_unknown_table_is_pgrst205_with_a_guess(rest):
    answer = await rest.get("/film")
    assert answer.status_code == 404
    assert answer.json() == {
        "code": "PGRST205",
        "message": "Could not find the table 'public.film' in the schema cache",
        "details": None,
        "hint": "Perhaps you meant the table 'public.films'",
    }


async def test_other_paths_are_pgrst125(rest):
    answer = await rest.get("/films/1")
    assert (answer.status_code, answer.json()["code"]) == (404, "PGRST125")
    assert (await rest.post("/")).json()["code"] == "PGRST117"


async def test_options_says_what_is_allowed(rest):
    answer = await rest.options("/films")
    assert (answer.status_code, answer.headers["allow"]) == (200, "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE")


async def test_what_was_made_since_is_found_without_a_reload(rest, films):
    assert (await rest.get("/films?limit=1")).status_code == 200
    films.run("create table later (id int); grant select on later to service_role")
    assert (await rest.get("/later")).json() == []
    films.run("alter table later add column name text; insert into later values (1, 'x')")
    assert (await rest.get("/later?select=name")).json() == [{"name": "x"}]


async def test_nobody_is_answered_without_a_verified_identity(app):
    for state in ({}, {"role": "postgres", "claims": {}}, {"role": "anon", "claims": None}):

        async def gate(scope, receive, send, state=state):
            await app({**scope, "state": state}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://test") as client:
            answer = await client.get("/rest/v1/films")
            assert (answer.status_code, answer.json()["code"]) == (401, "PGRST301")


async def test_a_login_above_row_level_security_is_refused(films):
    async with RestApp(films.admin) as app, client_of(app, "sb_publishable_test") as client:
        answer = await client.get("/films")
        assert (answer.status_code, answer.json()["code"]) == (503, "PGRST000")
        assert "ensure_authenticator" in answer.json()["message"]
    assert LoginTooPowerful("postgres").login == "postgres"


async def test_a_database_that_is_away_is_503_and_says_nothing_of_the_password(films):
    gone = films.url.rpartition("@")[0] + "@127.0.0.1:1/none"
    async with RestApp(gone) as app, client_of(app, "sb_secret_test") as client:
        answer = await client.get("/films")
        assert (answer.status_code, answer.json()["code"]) == (503, "PGRST000")
        assert "authenticator" not in answer.text


ALL_ENDED = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where usename = 'authenticator' and datname = current_database()"
)


async def test_a_connection_that_died_is_503_once_and_then_replaced(rest, films):
    assert (await rest.get("/films")).status_code == 200
    films.run(ALL_ENDED)
    answer = await rest.get("/films")
    assert (answer.status_code, answer.json()["code"]) in ((503, "PGRST001"), (500, "57P01"))
    assert (await rest.get("/films")).status_code == 200


async def test_a_schema_cache_that_cannot_be_read_is_503(rest, films):
    assert (await rest.get("/films")).status_code == 200
    films.run(ALL_ENDED)
    answer = await rest.get("/nothing")
    assert (answer.status_code, answer.json()["code"]) == (503, "PGRST002")
    assert (await rest.get("/nothing")).json()["code"] == "PGRST205"


async def test_cookies_that_are_none_are_ignored(rest):
    headers = {"Cookie": "a b=c; =; \x7f"}
    answer = await rest.get("/rpc/asked?name=request.cookies", headers=headers)
    assert json.loads(answer.json()) == {}


SLEEPING = "select pid from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"


async def test_waiting_too_long_for_a_connection_is_504(films):
    settings = RestSettings(connections=1, connection_timeout=0.05, statement_timeout=60_000)
    async with RestApp(films.url, settings=settings) as app, client_of(app, "sb_secret_test") as client:
        slow = asyncio.create_task(client.post("/rpc/forever"))
        async with asyncio.timeout(30):
            while not (sleeping := await asyncio.to_thread(films.run, SLEEPING)):
                pass
        answer = await client.get("/films")
        assert (answer.status_code, answer.json()["code"]) == (504, "PGRST003")
        films.run(f"select pg_cancel_backend({sleeping[0][0]})")
        assert (await slow).json()["code"] == "57014"


async def test_a_body_that_is_too_large_is_413(films):
    settings = RestSettings(max_body=10)
    async with RestApp(films.url, settings=settings) as app, client_of(app, "sb_secret_test") as client:
        assert (await client.post("/foo", content=b"x" * 11)).status_code == 413


async def test_what_is_not_http_is_ignored(app):
    async def send(_message):
        raise AssertionError

    await Gate(app).app({"type": "lifespan"}, None, send)
