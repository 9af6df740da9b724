"""What is sent is a value or a checked name, never SQL: a corpus of attempts, and random ones."""

import string
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

POISON = [
    "'; drop table films; --",
    "' or '1'='1",
    "') or true --",
    "1; delete from films",
    "1) union select passwd from pg_shadow --",
    '"; drop table films; --',
    'x" or "1"="1',
    "films; drop table films",
    "pg_sleep(10)",
    "(select pg_sleep(10))",
    "%s %(p0)s %% {} {0} $1 :x",
    "%(nothing)s",
    "$$; drop table films; $$",
    "\\'; drop table films; --",
    "E'\\\\'; drop table films; --",
    "id\x00; drop table films",
    "/* */ or 1=1",
    "id)::text from films; --",
    "\u02bc or 1=1",
    "{}",
    '{"a":1}',
    "text; drop table films",
    "int) from films; drop table films; --",
    "current_user",
    "t0.*",
    "_sba_written",
    "..",
    "*",
    "a" * 5000,
]
PLACES = [
    "/films?{q}=eq.1",
    "/films?%22{q}%22=eq.1",
    "/films?title=eq.{q}",
    "/films?title={q}.x",
    "/films?title=eq({q}).x",
    "/films?title=like(any).{q}",
    "/films?title=in.({q})",
    "/films?title=in.(%22{q}%22)",
    "/films?title=is.{q}",
    "/films?title=fts({q}).x",
    "/films?title=fts.{q}",
    "/films?words=wfts(english).{q}",
    "/films?tags=cs.{q}",
    "/films?data->{q}=eq.1",
    "/films?data->>{q}=eq.1",
    "/films?data->>%22{q}%22=eq.1",
    "/films?or=({q})",
    "/films?or=(title.eq.{q},id.eq.0)",
    "/films?or=(title.eq.%22{q}%22,id.eq.0)",
    "/films?and={q}",
    "/films?order={q}",
    "/films?order=id.{q}",
    "/films?order=%22{q}%22.desc",
    "/films?order=data->>{q}",
    "/films?order=directors({q})&select=id,directors(id)",
    "/films?select={q}",
    "/films?select=%22{q}%22",
    "/films?select=%22{q}%22:id",
    "/films?select=id::{q}",
    "/films?select=data->{q}",
    "/films?select=data->>%22{q}%22",
    "/films?select={q}(id)",
    "/films?select=directors!{q}(id)",
    "/films?select=directors!%22{q}%22(id)",
    "/films?select=%22{q}%22:directors(id)",
    "/films?select=directors({q})",
    "/films?select=directors(%22{q}%22:id)",
    "/films?select=id,directors(id)&directors.{q}=eq.1",
    "/films?select=id,directors(id)&directors.id=eq.{q}",
    "/films?limit={q}",
    "/films?offset={q}",
    "/{q}",
    "/rpc/{q}",
    "/rpc/films_of?{q}=1",
    "/rpc/films_of?since={q}",
    "/rpc/plus_one?v={q}&v={q}",
    "/rpc/asked?name={q}",
]


@pytest.fixture
def films(shared_films):
    return shared_films


def proper(answer):
    """The answer is one, or a refusal that says why, and no part of what was sent was run."""
    assert answer.status_code < 500, answer.text
    assert answer.json() is None or isinstance(answer.json(), dict | list | str | int)
    if answer.status_code >= 300:
        assert set(answer.json()) == {"code", "details", "hint", "message"}
        assert answer.json()["code"] != "57014", answer.text
        assert answer.json()["code"] != "42601" or "tsquery" in answer.json()["message"]


async def unharmed(rest):
    """The table is as it was."""
    count = await rest.head("/films", headers={"Prefer": "count=exact"})
    assert count.headers["content-range"] == "0-3/4"


@pytest.mark.parametrize("place", PLACES)
async def test_no_place_of_a_url_takes_sql(rest, place):
    for poison in POISON:
        proper(await rest.get(place.replace("{q}", quote(poison, safe=""))))
    await unharmed(rest)


@pytest.mark.parametrize("poison", POISON)
async def test_no_header_takes_sql(rest, poison):
    for header in ("Prefer", "Range", "Accept-Profile", "Accept", "Cookie", "X-Anything"):
        for value in (poison, f"timezone={poison}", f"count={poison}"):
            sent = value.encode("utf-8").replace(b"\x00", b"")
            proper(await rest.get("/films", headers={header.encode(): sent}))
    await unharmed(rest)


@pytest.mark.parametrize("poison", [poison for poison in POISON if poison != "*"])
async def test_no_body_takes_sql(rest, poison):
    undone = {"Prefer": "return=representation, tx=rollback"}
    for answer in (
        await rest.post("/films", json={poison: 1}, headers=undone),
        await rest.post("/films?columns=%22" + quote(poison, safe="") + "%22", json={}, headers=undone),
        await rest.post("/films?on_conflict=%22" + quote(poison, safe="") + "%22", json={"title": "x"},
                        headers={"Prefer": "resolution=merge-duplicates, tx=rollback"}),
        await rest.patch("/films?id=eq.1", json={poison: 1}, headers=undone),
        await rest.delete(f"/films?{urlencode({'title': 'eq.' + poison})}", headers=undone),
        await rest.post("/rpc/add_them", json={poison: 1}, headers=undone),
    ):  # fmt: skip
        if answer.content != b"":
            proper(answer)
    await unharmed(rest)


async def test_a_poisoned_value_is_stored_and_found_as_it_is(app, films, rest):
    for poison in (poison for poison in POISON if "\x00" not in poison):
        headers = {"Prefer": "return=representation, tx=rollback"}
        answer = await rest.post("/products?select=sku", json={"sku": poison}, headers=headers)
        assert answer.json() == [{"sku": poison}]
        listed = '"' + poison.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for operator, value in (("eq", poison), ("in", f"({listed})")):
            path = f"/films?id=eq.1&title=not.{operator}.{quote(value, safe='')}&select=id"
            assert (await rest.get(path)).json() == [{"id": 1}]


async def test_a_name_may_hold_what_reads_as_a_place_of_a_value(rest, films):
    films.run("""create table if not exists "100%(p0)s %" (id int, "%s" text default '%')""")
    films.run("""grant all on "100%(p0)s %" to service_role""")
    path = "/" + quote("100%(p0)s %", safe="")
    answer = await rest.post(
        path, json={"id": 1, "%s": "x"}, headers={"Prefer": "return=representation, tx=rollback"}
    )
    assert answer.json() == [{"id": 1, "%s": "x"}]
    assert (await rest.get(f"{path}?id=eq.1&select=%22%25(p1)s%22:%22%25s%22&%22%25s%22=eq.x")).json() == []


async def test_only_request_roles_can_be_assumed(films):
    roles = films.run(
        "select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid "
        "join pg_roles l on l.oid = m.member where l.rolname = 'authenticator' order by 1"
    )
    assert roles == [("anon",), ("authenticated",), ("service_role",)]
    assert films.run(
        "select rolsuper, rolbypassrls, rolinherit, rolcreaterole, rolcreatedb from pg_roles "
        "where rolname = 'authenticator'"
    ) == [(False, False, False, False, False)]


ODD = st.text(
    st.sampled_from(string.ascii_lowercase[:4] + "idtitle.,:()!*->\"'\\{}[]=%;$ é\x00"), max_size=24
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_nothing_that_is_asked_breaks_the_server(rest, data):
    keys = [
        "select",
        "order",
        "or",
        "and",
        "title",
        "id",
        "limit",
        "offset",
        "columns",
        "data->>a",
        "actors.or",
    ]
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(keys) | ODD, ODD), max_size=4))
    answer = await rest.get(f"/films?{urlencode(pairs)}")
    assert answer.status_code < 500, (pairs, answer.text)
    if answer.status_code >= 300:
        assert answer.json()["code"] != "42601" or "tsquery" in answer.json()["message"]
