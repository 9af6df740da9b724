"""Details of the documentation that clients meet at the edges: bodies, grammar, ranges, errors."""

import pytest

SHOWN = {"Prefer": "return=representation"}


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("/films?and=( and ( id.in.( 1, 2, 3 ) , id.eq.3 ) , or ( id.eq.2 , id.eq.3 ) )", [3]),
        ("/films?or=( id.eq.1, not.and (id.neq.2, id.neq.3) )", [1, 2, 3]),
        ("/films?id=in.( 1, 3 )", [1, 3]),
        ("/films?not.or=(id.eq.1,id.eq.2)", [3, 4]),
        ('/films?or=(title.eq."Metropolis",id.eq.1)', [1, 4]),
    ],
)
async def test_blanks_may_stand_around_the_punctuation_of_logic(rest, path, ids):
    answer = await rest.get(f"{path}&select=id&order=id")
    assert [row["id"] for row in answer.json()] == ids


async def test_blanks_may_follow_the_commas_of_select_and_order(rest):
    path = "/films?select=id, title, directors(id, last_name), *&order=director_id.desc.nullslast, id&limit=1"
    (film,) = (await rest.get(path)).json()
    assert (film["id"], film["directors"], film["language"]) == (
        3,
        {"id": 3, "last_name": "Méliès"},
        "french",
    )


async def test_a_key_of_json_may_hold_what_is_not_reserved(rest, films):
    films.run("""update films set data = '{"!@#$%^&*_d": {"23-xy": 3}}' where id = 4""")
    path = "/films?select=data->!@%23$%25^%26*_d,data->!@%23$%25^%26*_d->>23-xy::int&id=eq.4"
    assert (await rest.get(path)).json() == [{"!@#$%^&*_d": {"23-xy": 3}, "23-xy": 3}]
    assert len((await rest.get("/films?data->!@%23$%25^%26*_d->>23-xy=eq.3")).json()) == 1
    assert (await rest.get("/films?select=data->(x")).json()["code"] == "PGRST100"


@pytest.mark.parametrize(("path", "column"), [("or=()", 4), ("and=()", 5), ("not.or=()", 8)])
async def test_the_place_of_an_error_in_logic_counts_the_operator(rest, path, column):
    answer = await rest.get(f"/films?{path}")
    assert answer.status_code == 400
    message = f'"failed to parse logic tree (())" (line 1, column {column})'
    assert (answer.json()["code"], answer.json()["message"]) == ("PGRST100", message)


@pytest.mark.parametrize("path", ["/films?offset=100", "/rpc/films_of?offset=100"])
async def test_a_range_that_starts_beyond_the_last_row_says_how_many_there_are(rest, path):
    answer = await rest.get(path, headers={"Prefer": "count=exact"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "*/4")


async def test_an_error_is_named_in_a_header_too(rest):
    answer = await rest.get("/nowhere/at/all")
    assert answer.headers["proxy-status"] == "PostgREST; error=PGRST125"
    answer = await rest.post("/products", json={"sku": "CL2031"})
    assert answer.headers["proxy-status"] == "PostgREST; error=23505"


async def test_rows_without_members_are_as_many_as_were_sent(rest):
    answer = await rest.post("/foo?select=bar,baz", json=[{}, {}], headers=SHOWN)
    assert (answer.status_code, answer.json()) == (201, [{"bar": None, "baz": 100}] * 2)
    assert (await rest.post("/foo?select=baz", json={}, headers=SHOWN)).json() == [{"baz": 100}]


async def test_a_merge_of_nothing_is_200_and_an_insert_of_nothing_201(rest):
    merging = {"Prefer": "resolution=merge-duplicates, return=representation"}
    answer = await rest.post("/products", json=[], headers=merging)
    assert (answer.status_code, answer.json()) == (200, [])
    assert (await rest.post("/products", json=[], headers=SHOWN)).status_code == 201


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'[{"bar":"a"},123]', "All object keys must match"),
        (b'[{"bar":"a"},{"baz":1}]', "All object keys must match"),
        (b'"text"', "Empty or invalid json"),
        (b"}{", "Empty or invalid json"),
        (b"", "Empty or invalid json"),
    ],
)
async def test_a_body_that_is_no_rows_is_refused_in_the_documented_words(rest, body, message):
    answer = await rest.post("/foo", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (400, "PGRST102", message)


async def test_a_star_in_the_answer_to_a_write_leaves_computed_columns_out(rest):
    row = {"first_name": "Fritz", "last_name": "Lang"}
    answer = await rest.post("/directors?select=*,full_name&order=full_name", json=row, headers=SHOWN)
    assert list(answer.json()[0]) == ["id", "first_name", "last_name", "full_name"]
    assert answer.text.count("full_name") == 1
    answer = await rest.patch("/directors?full_name=eq.Fritz Lang&order=full_name", json=row, headers=SHOWN)
    assert list(answer.json()[0]) == ["id", "first_name", "last_name"]


async def test_a_set_of_scalars_has_pages_and_a_spreadsheet_too(rest):
    answer = await rest.get("/rpc/numbers?limit=1&offset=1")
    assert (answer.json(), answer.headers["content-range"]) == ([2], "1-1/*")
    answer = await rest.get("/rpc/numbers", headers={"Range": "1-5"})
    assert (answer.json(), answer.headers["content-range"]) == ([2, 3], "1-2/*")
    assert (await rest.post("/rpc/numbers?offset=2", json={})).json() == [3]
    answer = await rest.get("/rpc/numbers", headers={"Accept": "text/csv"})
    assert answer.text == "pgrst_scalar\n1\n2\n3"
    assert (await rest.get("/rpc/add_them?a=1&b=2&limit=0")).json() == 3


async def test_the_first_of_several_selects_counts(rest):
    answer = await rest.get("/films?select=id&select=title&limit=1")
    assert list(answer.json()[0]) == ["id"]


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("text/csv;q=0.1, application/json", "application/json"),
        ("*/*, text/csv", "text/csv"),
        ("application/*;q=0.9, */*;q=0.8", "application/json"),
        ("text/csv;q=x, application/json;q=0.9", "text/csv"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
    ],
)
async def test_the_representation_that_is_wanted_most_is_sent(rest, accept, media):
    answer = await rest.get("/films?select=id", headers={"Accept": accept})
    assert answer.headers["content-type"] == f"{media}; charset=utf-8"


async def test_a_cardinality_violation_is_500_but_a_missing_filter_400(rest, films):
    films.run("create function too_many() returns int language sql stable as 'select (select id from films)'")
    answer = await rest.get("/rpc/too_many")
    assert (answer.status_code, answer.json()["code"]) == (500, "21000")
    for answer in (await rest.patch("/films", json={"title": "x"}), await rest.delete("/films")):
        assert (answer.status_code, answer.json()["code"]) == (400, "21000")


async def test_what_a_function_chooses_for_a_header_cannot_break_the_answer(rest, films):
    films.run("""
        create function chooses(said text, how text) returns void language plpgsql as $$
        begin raise sqlstate 'PGRST' using message = said, detail = how; end $$
    """)
    said = '{"code":"a\\r\\nX-Evil: é→","message":"m"}'
    how = '{"status":%s,"headers":{"X-A":"b\\r\\nX-Evil: c"}}'
    answer = await rest.post("/rpc/chooses", json={"said": said, "how": how % 418})
    assert answer.status_code == 418
    assert "x-evil" not in answer.headers
    for status in (42, 1000, '"x"', 101):
        answer = await rest.post("/rpc/chooses", json={"said": said, "how": how % status})
        assert (answer.status_code, answer.json()["code"]) == (500, "PGRST121")
