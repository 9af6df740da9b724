"""Callers who go beyond their rows, inputs that go beyond any size, and requests that nobody waits for."""

import asyncio
import json

import pytest

from sba_local.supabase.rest import RestApp, RestSettings
from tests.integration.local.rest.world import USER_A, USER_B, client_of, token

BEYOND = """
create table parts (id int primary key, note_id int references notes (id));
insert into parts select id, id from notes;
create view guarded with (security_invoker) as select * from notes;
create function all_notes() returns setof notes language sql stable as 'select * from notes';
create function count_notes() returns bigint language sql stable as 'select count(*) from notes';
create function note_text(parts) returns text language sql stable as $$
    select body from notes where id = $1.note_id
$$;
grant all on parts, guarded to authenticated;
"""


@pytest.fixture
def beyond(films):
    films.run(BEYOND)


@pytest.mark.parametrize(
    "path",
    [
        "/notes?select=body",
        "/guarded?select=body",
        "/rpc/all_notes?select=body",
        "/parts?select=...notes!inner(body)",
        "/parts?select=...notes!inner(body)&notes.body=neq.x",
        "/parts?select=body:note_text&note_text=not.is.null",
        "/parts?select=...notes!inner(body)&or=(notes.not.is.null,id.gt.0)",
        f"/notes?select=body&owner=in.({USER_A},{USER_B})",
        f"/notes?select=body&or=(owner.eq.{USER_B},owner.neq.{USER_B})",
    ],
)
@pytest.mark.usefixtures("beyond")
async def test_no_way_of_reading_leads_past_row_level_security(user, path):
    assert (await user.get(path)).json() == [{"body": "of a"}]


@pytest.mark.usefixtures("beyond")
async def test_no_count_tells_of_rows_that_are_not_shown(user):
    exact = await user.head("/notes?limit=0", headers={"Prefer": "count=exact"})
    assert exact.headers["content-range"] == "*/1"
    assert (await user.get("/rpc/count_notes")).json() == 1
    hidden = await user.get("/parts?select=id&notes=not.is.null&select=id,notes()")
    assert hidden.status_code == 400
    assert len((await user.get("/parts?select=id,notes()&notes=not.is.null")).json()) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/notes?on_conflict=id", {"id": 2, "owner": USER_A, "body": "mine now"}),
        ("POST", "/notes", {"owner": USER_B, "body": "planted"}),
        ("POST", "/guarded", {"owner": USER_B, "body": "planted"}),
        ("PATCH", f"/notes?owner=eq.{USER_A}", {"owner": USER_B}),
    ],
)
@pytest.mark.usefixtures("beyond")
async def test_no_way_of_writing_leads_past_row_level_security(rest, user, method, path, body):
    merging = {"Prefer": "resolution=merge-duplicates"}
    answer = await user.request(method, path, json=body, headers=merging)
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    kept = (await rest.get("/notes?select=owner,body&order=body")).json()
    assert kept == [{"owner": USER_A, "body": "of a"}, {"owner": USER_B, "body": "of b"}]


async def test_no_header_makes_a_caller_somebody_else(user):
    for name in ("role", "x-role", "x-database-role", "request.jwt.claims", "x-claims"):
        assert (await user.get("/rpc/who", headers={name: "service_role"})).json() == "authenticated"


async def test_no_function_outside_the_exposed_schema_is_called(rest):
    for name in ("set_config", "pg_sleep", "pg_read_file", "lo_import", "dblink", "query_to_xml"):
        assert (await rest.post(f"/rpc/{name}", json={})).json()["code"] == "PGRST202"
        assert (await rest.post(f"/rpc/pg_catalog.{name}", json={})).json()["code"] == "PGRST202"


TOO_MUCH = [
    ("/films?select=" + "directors(" * 60 + "id" + ")" * 60, "PGRST100"),
    ("/films?or=" + "(or" * 60 + "(id.eq.1)" + ")" * 60, "PGRST100"),
    ("/films?select=" + ",".join(["id"] * 1700), "54011"),
    ("/films?" + "&".join(f"id=neq.{n}" for n in range(1500)), "PGRST100"),
    ("/films?select=" + "(" * 5000, "PGRST100"),
    ("/films?title=match." + "(" * 500, "2201B"),
    ("/films?limit=99999999999999999999", "PGRST100"),
    ("/films?offset=9223372036854775808", "PGRST100"),
    ("/films?data->a->99999999999999=eq.1&data->>b=eq(any).{", "22P02"),
]


async def test_what_is_too_deep_or_too_much_to_ask_is_refused(rest):
    for path, code in TOO_MUCH:
        answer = await rest.get(path)
        assert answer.json()["code"] == code
        assert (await rest.head("/films")).status_code == 200


UNKEPT = [
    ("application/json", b'{"bar":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("application/json", b'{"id":' + b"9" * 5000 + b"}"),
    ("application/json", b'{"baz":NaN}'),
    ("application/json", b'{"bar":"\\u0000"}'),
    ("application/json", b'{"bar":"\\ud800"}'),
    ("application/json", b'{"bar":"\xff"}'),
    ("text/csv", b'bar\n"' + b"x" * 200_000 + b'"\n'),
    ("text/csv", b'bar\n"open\n'),
    ("text/csv", b"bar,baz\na\n"),
    ("text/csv", b"bar\na\x00b\n"),
    ("application/x-www-form-urlencoded", b"&".join([b"bar=1"] * 2000)),
    ("application/xml", b"<a/>"),
    ("multipart/form-data; boundary=x", b"--x--"),
]


async def test_a_body_that_nobody_can_keep_is_refused_and_nothing_of_it_is_kept(rest):
    for kind, body in UNKEPT:
        answer = await rest.post("/foo", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] in ("PGRST102", "22P02", "22P05", "22021")
        assert (await rest.get("/foo")).json() == []


async def test_many_rows_with_and_without_members_go_in_together(rest):
    too_many = [{"bar": "x"}] * 10_001
    answer = await rest.post("/foo", json=too_many, headers={"Prefer": "missing=default"})
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST102")
    exact = b'[ {"bar": "[,] {}"}\n, {"bar": 12345678901234567890.12345678901234567890} ]'
    headers = {"Prefer": "missing=default, return=representation, tx=rollback"}
    answer = await rest.post("/foo?select=bar", content=exact, headers=headers)
    assert answer.json() == [{"bar": "[,] {}"}, {"bar": "12345678901234567890.12345678901234567890"}]
    rows = [{"bar": str(n)} if n % 2 else {"bar": str(n), "baz": n} for n in range(2000)]
    answer = await rest.post("/foo", json=rows, headers={"Prefer": "missing=default, count=exact"})
    assert (answer.status_code, answer.headers["content-range"]) == (201, "*/2000")
    assert (
        (await rest.head("/foo?baz=eq.100", headers={"Prefer": "count=exact"}))
        .headers["content-range"]
        .endswith("/1001")
    )


WORKING = (
    "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
)


async def until(films, working):
    async with asyncio.timeout(30):
        while await asyncio.to_thread(films.run, WORKING) != [(working,)]:
            await asyncio.to_thread(films.run, "select pg_sleep(0.05)")


async def test_a_request_that_was_given_up_keeps_no_connection_and_no_transaction(films):
    settings = RestSettings(connections=2, statement_timeout=60_000)
    async with RestApp(films.url, settings=settings) as app, client_of(app, token(USER_A)) as client:
        given_up = [asyncio.create_task(client.post("/rpc/forever")) for _ in range(2)]
        await until(films, 2)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        await until(films, 0)
        answers = await asyncio.gather(*(client.get("/notes?select=body") for _ in range(4)))
        assert [answer.json() for answer in answers] == [[{"body": "of a"}]] * 4
    left = "select count(*) from pg_stat_activity where usename = 'authenticator' and xact_start is not null"
    assert films.run(f"{left} and datname = current_database()") == [(0,)]


async def test_a_failed_request_leaves_nothing_to_the_next_one(films):
    films.run("""
        create function breaks() returns void language plpgsql as $$
        begin
            perform set_config('request.jwt.claims', '{"sub": "x"}', false);
            perform set_config('app.own', 'left', true);
            raise exception 'broken';
        end $$
    """)
    async with RestApp(films.url, settings=RestSettings(connections=1)) as app:
        async with client_of(app, token(USER_A)) as first:
            assert (await first.post("/rpc/breaks", json={})).json()["code"] == "P0001"
        async with client_of(app, "sb_publishable_test") as second:
            claims = (await second.get("/rpc/asked?name=request.jwt.claims")).json()
            assert json.loads(claims) == {"role": "anon"}
            assert (await second.get("/rpc/asked?name=app.own")).json() in (None, "")
            assert (await second.get("/rpc/who")).json() == "anon"


@pytest.mark.usefixtures("beyond")
async def test_an_error_says_nothing_of_rows_that_are_not_shown(user):
    answer = await user.post("/notes", json={"id": 2, "owner": USER_A, "body": "x"})
    assert answer.json()["code"] == "23505"
    assert "of b" not in answer.text
    assert USER_B not in answer.text
