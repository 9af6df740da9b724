"""Functions, as references/api/functions describes them."""

import pytest


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("add_them", {"a": 1, "b": 2}, 3),
        ("mult_them", {"x": 4, "y": 2}, 8),
        ("plus_one", {"v": [1, 2, 3, 4]}, [2, 3, 4, 5]),
        ("numbers", {}, [1, 2, 3]),
        ("pair", {}, [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]),
        ("rental", {"customer_id": 232}, "one"),
        ("rental", {"customer_id": 232, "from_date": "2018-07-01"}, "two"),
        ("films_of?select=id&year=gt.1900", {}, [{"id": 4}]),
        ("films_of?select=id&order=id.desc&limit=1", {"since": 1895}, [{"id": 4}]),
        ("one_film?select=id", {}, {"id": 1}),
        ("untyped", {}, None),
    ],
)
async def test_a_post_calls_a_function_with_the_members_of_the_body(rest, path, body, expected):
    answer = await rest.post(f"/rpc/{path}", json=body)
    assert answer.status_code == 200, answer.text
    if expected is not None:
        assert answer.json() == expected


async def test_a_function_that_returns_untyped_rows_can_be_called(rest):
    assert (await rest.get("/rpc/untyped")).json()[0]["id"] == 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("add_them?a=1&b=2", 3),
        ("plus_one?v=1&v=2&v=3&v=4", [2, 3, 4, 5]),
        ("rental?customer_id=232&from_date=2018-07-01", "two"),
        ("films_of?since=1897&select=id&order=id", [{"id": 3}, {"id": 4}]),
        ("films_of?rating=gt.8&select=title", [{"title": "Metropolis"}]),
        ("numbers", [1, 2, 3]),
    ],
)
async def test_a_get_calls_a_function_with_the_parameters(rest, path, expected):
    answer = await rest.get(f"/rpc/{path}")
    assert answer.status_code == 200, answer.text
    assert answer.json() == expected


async def test_a_form_calls_a_function_too(rest):
    assert (await rest.post("/rpc/add_them", data={"a": "1", "b": "2"})).json() == 3


async def test_a_body_is_passed_whole_to_the_one_unnamed_parameter(rest, films):
    films.run("create function shout(text) returns text language sql as 'select upper($1)'")
    films.run("create function size(bytea) returns int language sql as 'select length($1)'")
    answer = await rest.post("/rpc/shout", content="hi", headers={"Content-Type": "text/plain"})
    assert answer.json() == "HI"
    headers = {"Content-Type": "application/octet-stream"}
    assert (await rest.post("/rpc/size", content=b"\x00\xff", headers=headers)).json() == 2
    assert (await rest.post("/rpc/mult_them", json=[1])).json() is None
    headers = {"Content-Type": "text/plain"}
    missing = await rest.post("/rpc/mult_them", content="x", headers=headers)
    assert missing.json()["details"] == (
        "Searched for the function public.mult_them with a single unnamed text parameter, "
        "but no matches were found in the schema cache."
    )


async def test_nothing_returned_is_204(rest):
    answer = await rest.post("/rpc/nothing")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_function_may_write_when_posted_and_not_when_got(rest, films):
    body = {"first": "Fritz", "last": "Lang"}
    answer = await rest.post("/rpc/add_director?select=first_name", json=body)
    assert answer.json() == {"first_name": "Fritz"}
    answer = await rest.get("/rpc/add_director?first=a&last=b")
    assert (answer.status_code, answer.json()["code"]) == (405, "25006")
    assert films.run("select count(*) from directors") == [(5,)]


async def test_a_stable_function_may_not_write_even_when_posted(rest, films):
    films.run(
        "create function sly() returns void language plpgsql stable as $$"
        "begin perform set_config('a.b', '1', true); execute 'delete from products'; end $$"
    )
    answer = await rest.post("/rpc/sly")
    assert answer.json()["code"] in ("25006", "0A000")
    assert films.run("select count(*) from products") == [(2,)]


async def test_an_unknown_function_is_pgrst202_and_names_what_was_looked_for(rest):
    answer = await rest.post("/rpc/add_then", json={"a": 1, "b": 2})
    assert answer.status_code == 404
    assert answer.json() == {
        "code": "PGRST202",
        "message": "Could not find the function public.add_then(a, b) in the schema cache",
        "details": "Searched for the function public.add_then with parameters a, b or with a single unnamed "
        "json/jsonb parameter, but no matches were found in the schema cache.",
        "hint": "Perhaps you meant to call the function public.add_them(a, b)",
    }
    answer = await rest.get("/rpc/xyzzy")
    assert answer.json()["message"] == (
        "Could not find the function public.xyzzy without parameters in the schema cache"
    )
    assert answer.json()["hint"] is None


@pytest.mark.parametrize("body", [{"a": 1}, {"a": 1, "b": 2, "c": 3}])
async def test_arguments_that_fit_no_overload_are_pgrst202(rest, body):
    assert (await rest.post("/rpc/add_them", json=body)).json()["code"] == "PGRST202"


async def test_overloads_with_the_same_names_are_300(rest):
    answer = await rest.post("/rpc/same", json={"a": 1})
    assert answer.status_code == 300
    assert answer.json()["code"] == "PGRST203"
    assert answer.json()["message"] == (
        "Could not choose the best candidate function between: public.same(a => int4), public.same(a => text)"
    )


async def test_other_methods_are_pgrst101(rest):
    for method in ("PATCH", "DELETE", "PUT"):
        answer = await rest.request(method, "/rpc/numbers")
        assert (answer.status_code, answer.json()["code"]) == (405, "PGRST101")


async def test_rows_of_a_function_are_counted_and_ranged(rest):
    answer = await rest.get("/rpc/films_of?limit=1", headers={"Prefer": "count=exact"})
    assert (answer.status_code, answer.headers["content-range"]) == (206, "0-0/4")
    answer = await rest.get("/rpc/films_of?order=id", headers={"Range": "1-2"})
    assert [row["id"] for row in answer.json()] == [2, 3]
    answer = await rest.head("/rpc/films_of", headers={"Prefer": "count=exact"})
    assert (answer.content, answer.headers["content-range"]) == (b"", "0-3/4")


async def test_one_object_is_asked_of_a_function(rest):
    accept = {"Accept": "application/vnd.pgrst.object+json"}
    answer = await rest.get("/rpc/films_of?id=eq.2&select=id", headers=accept)
    assert answer.json() == {"id": 2}
    answer = await rest.get("/rpc/films_of", headers=accept)
    assert (answer.status_code, answer.json()["code"]) == (406, "PGRST116")


async def test_the_most_rows_of_a_function(rest):
    strict = {"Prefer": "handling=strict, max-affected=1"}
    assert (await rest.post("/rpc/films_of", headers=strict)).json()["code"] == "PGRST124"
    answer = await rest.post("/rpc/add_them", json={"a": 1, "b": 2}, headers=strict)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST128")


async def test_a_function_refuses_with_its_own_words(rest):
    answer = await rest.post("/rpc/just_fail")
    assert answer.status_code == 400
    assert answer.json() == {
        "message": "I refuse!",
        "details": "Pretty simple",
        "hint": "There is nothing you can do.",
        "code": "P0001",
    }


async def test_a_function_chooses_the_status_of_its_error(rest):
    answer = await rest.post("/rpc/pay")
    assert answer.status_code == 402
    assert answer.json() == {
        "message": "Payment Required",
        "details": "Quota exceeded",
        "hint": "Upgrade your plan",
        "code": "PT402",
    }


async def test_a_function_chooses_status_headers_and_body_of_its_error(rest):
    answer = await rest.post("/rpc/rage")
    assert (answer.status_code, answer.headers["x-powered-by"]) == (402, "Nerd Rage")
    assert answer.json() == {
        "code": "123",
        "message": "Payment Required",
        "details": "Quota exceeded",
        "hint": "Upgrade",
    }
    answer = await rest.post("/rpc/unreadable")
    assert (answer.status_code, answer.json()["code"]) == (500, "PGRST121")


async def test_a_function_chooses_status_and_headers_of_its_answer(rest):
    answer = await rest.get("/rpc/teapot")
    assert (answer.status_code, answer.headers["x-tea"]) == (418, "yes")
    assert answer.json() == {"message": "short and stout"}


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        ("fine", "", "PGRST112"),
        ("", "{}", "PGRST111"),
        ("", '[{"a": 1, "b": "c"}]', "PGRST111"),
        ("", "x", "PGRST111"),
        ("", '[{"a": 1}]', "PGRST111"),
    ],
)
async def test_a_status_or_header_that_cannot_be_is_an_error(rest, status, headers, code):
    answer = await rest.post("/rpc/answer_with", json={"status": status, "headers": headers})
    assert (answer.status_code, answer.json()["code"]) == (500, code)
