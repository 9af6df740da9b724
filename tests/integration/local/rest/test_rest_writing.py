"""Insert, upsert, update and delete, as references/api/tables_views and preferences describe them."""

import pytest

from tests.integration.local.rest.world import USER_A

FULL = {"Prefer": "return=representation"}


def prefer(*preferences):
    return {"Prefer": ", ".join(preferences)}


async def test_an_insert_answers_201_without_a_body(rest, films):
    answer = await rest.post("/products", json={"sku": "AC1", "name": "Cap", "price": 30})
    assert (answer.status_code, answer.content) == (201, b"")
    assert films.run("select name from products where sku = 'AC1'") == [("Cap",)]


async def test_an_insert_answers_with_the_rows_and_chosen_columns_on_request(rest):
    answer = await rest.post("/films?select=title,lang:language", json={"title": "M"}, headers=FULL)
    assert answer.status_code == 201
    assert answer.json() == [{"title": "M", "lang": "english"}]
    assert answer.headers["preference-applied"] == "return=representation"
    assert answer.headers["content-range"] == "*/*"


async def test_an_insert_answers_with_what_is_related(rest):
    select = "title,director:directors(first_name),actors(id)"
    answer = await rest.post(f"/films?select={select}", json={"title": "x", "director_id": 3}, headers=FULL)
    assert answer.json() == [{"title": "x", "director": {"first_name": "Georges"}, "actors": []}]


async def test_headers_only_says_where_the_row_is(rest):
    answer = await rest.post("/foo", json={"bar": "x"}, headers=prefer("return=headers-only"))
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["location"] == "/foo?id=eq.101"
    assert answer.headers["preference-applied"] == "return=headers-only"


async def test_many_rows_are_inserted_at_once_and_missing_columns_are_null(rest):
    body = [{"bar": "val1"}, {"bar": "val2", "baz": 15}]
    answer = await rest.post("/foo?columns=bar,baz&select=bar,baz", json=body, headers=FULL)
    assert answer.json() == [{"bar": "val1", "baz": None}, {"bar": "val2", "baz": 15}]


async def test_missing_columns_take_their_default_on_request(rest):
    body = [{"bar": "val1"}, {"bar": "val2", "baz": 15}]
    headers = prefer("missing=default", "return=representation")
    answer = await rest.post("/foo?columns=id,bar,baz", json=body, headers=headers)
    assert answer.json() == [{"id": 101, "bar": "val1", "baz": 100}, {"id": 102, "bar": "val2", "baz": 15}]
    assert answer.headers["preference-applied"] == "missing=default, return=representation"


async def test_rows_without_the_same_keys_are_refused(rest):
    answer = await rest.post("/foo", json=[{"bar": "a"}, {"baz": 1}])
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST102")
    assert answer.json()["message"] == "All object keys must match"


async def test_columns_leaves_out_the_rest_of_the_payload(rest):
    answer = await rest.post(
        "/foo?columns=bar&select=bar,baz", json={"bar": "a", "baz": 1, "x": 2}, headers=FULL
    )
    assert answer.json() == [{"bar": "a", "baz": 100}]


async def test_a_column_to_write_that_is_not_there_is_pgrst204(rest):
    for path, body in (("/foo?columns=nothing", {}), ("/foo", {"nothing": 1})):
        answer = await rest.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "PGRST204")
        assert answer.json()["message"] == "Could not find the 'nothing' column of 'foo' in the schema cache"


async def test_no_rows_are_no_change_and_an_empty_row_is_all_defaults(rest):
    answer = await rest.post("/foo", json=[], headers=FULL)
    assert (answer.status_code, answer.json()) == (201, [])
    answer = await rest.post("/foo", json={}, headers=FULL)
    assert answer.json() == [{"id": 101, "bar": None, "baz": 100}]


@pytest.mark.parametrize("body", [b"", b"{", b'"x"', b"[1]", b'{"bar": NaN}', b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_rows_is_pgrst102(rest, body):
    answer = await rest.post("/foo", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST102")


async def test_a_body_of_another_type_is_refused(rest):
    answer = await rest.post("/foo", content=b"x", headers={"Content-Type": "image/png"})
    assert answer.json()["message"] == "Content-Type not acceptable: image/png"


async def test_a_form_is_a_row(rest):
    answer = await rest.post("/products?select=sku,price", data={"sku": "a b", "price": "7"}, headers=FULL)
    assert answer.json() == [{"sku": "a b", "price": 7}]


async def test_csv_is_rows_and_null_is_null(rest):
    body = "sku,name,price\na,,62\nb,NULL,10\n"
    headers = {**FULL, "Content-Type": "text/csv"}
    answer = await rest.post("/products?order=sku", content=body, headers=headers)
    assert answer.json() == [{"sku": "a", "name": "", "price": 62}, {"sku": "b", "name": None, "price": 10}]
    answer = await rest.post("/products", content="sku,name\na\n", headers=headers)
    assert answer.json()["code"] == "PGRST102"


async def test_numbers_keep_their_digits(rest):
    body = '{"sku": "n", "price": 12345678901234567890.123456789012345678}'
    answer = await rest.post("/products?select=price::text", content=body, headers=FULL)
    assert answer.json() == [{"price": "12345678901234567890.123456789012345678"}]


async def test_duplicates_are_merged_on_the_primary_key(rest, films):
    body = [{"sku": "CL2031", "name": "Shirt", "price": 35}, {"sku": "AC1", "name": "Cap", "price": 9}]
    answer = await rest.post("/products", json=body, headers=prefer("resolution=merge-duplicates"))
    assert (answer.status_code, answer.headers["preference-applied"]) == (201, "resolution=merge-duplicates")
    assert films.run("select price from products order by sku") == [(9,), (35,), (50,)]


async def test_a_merge_that_inserts_nothing_is_200(rest):
    body = [{"sku": "CL2031", "price": 36}]
    answer = await rest.post(
        "/products", json=body, headers=prefer("resolution=merge-duplicates", FULL["Prefer"])
    )
    assert (answer.status_code, answer.json()) == (200, [{"sku": "CL2031", "name": "T-shirt", "price": 36}])


async def test_duplicates_are_ignored_on_request(rest, films):
    body = [{"sku": "CL2031", "name": "x", "price": 1}, {"sku": "N", "name": "y", "price": 2}]
    headers = prefer("resolution=ignore-duplicates", "return=representation")
    answer = await rest.post("/products?select=sku", json=body, headers=headers)
    assert (answer.status_code, answer.json()) == (201, [{"sku": "N"}])
    assert films.run("select price from products where sku = 'CL2031'") == [(30,)]


async def test_duplicates_are_told_by_another_unique_column(rest, films):
    body = [{"sku": "CL2031", "name": "T-shirt", "price": 40}]
    answer = await rest.post(
        "/products?on_conflict=name", json=body, headers=prefer("resolution=merge-duplicates")
    )
    assert answer.status_code == 200
    assert films.run("select price from products where name = 'T-shirt'") == [(40,)]


async def test_an_update_changes_what_the_filters_keep(rest, films):
    answer = await rest.patch("/films?year=lt.1896", json={"language": "silent"})
    assert (answer.status_code, answer.content, answer.headers["content-range"]) == (204, b"", "0-1/*")
    assert films.run("select id from films where language = 'silent' order by id") == [(1,), (2,)]


async def test_an_update_answers_with_the_rows_on_request(rest):
    headers = prefer("return=representation", "count=exact")
    answer = await rest.patch(
        "/films?id=eq.1&select=id,language,directors(first_name)", json={"language": "x"}, headers=headers
    )
    assert answer.status_code == 200
    assert answer.json() == [{"id": 1, "language": "x", "directors": {"first_name": "Louis"}}]
    assert answer.headers["content-range"] == "0-0/1"


async def test_an_update_of_nothing(rest):
    answer = await rest.patch("/films?id=eq.0", json={"language": "x"}, headers=FULL)
    assert (answer.status_code, answer.json(), answer.headers["content-range"]) == (200, [], "*/*")
    answer = await rest.patch("/films?id=eq.1", json={}, headers=FULL)
    assert (answer.status_code, answer.json()) == (200, [])


async def test_an_update_sets_defaults_on_request(rest):
    headers = prefer("missing=default", "return=representation")
    answer = await rest.patch(
        "/films?id=eq.1&columns=language,year&select=language,year", json={"year": 1}, headers=headers
    )
    assert answer.json() == [{"language": "english", "year": 1}]


async def test_a_delete_removes_what_the_filters_keep(rest, films):
    answer = await rest.delete("/products?price=gt.40&select=sku", headers=FULL)
    assert (answer.status_code, answer.json()) == (200, [{"sku": "CL2040"}])
    answer = await rest.delete("/products?sku=eq.CL2031", headers=prefer("count=exact"))
    assert (answer.status_code, answer.headers["content-range"]) == (204, "*/1")
    assert films.run("select count(*) from products") == [(0,)]


async def test_changing_every_row_by_accident_is_refused(rest, films):
    for answer in (await rest.delete("/products"), await rest.patch("/products", json={"price": 0})):
        assert (answer.status_code, answer.json()["code"]) == (400, "21000")
    assert films.run("select count(*) from products where price > 0") == [(2,)]


async def test_one_object_of_several_changed_undoes_the_change(rest, films):
    headers = {**FULL, "Accept": "application/vnd.pgrst.object+json"}
    answer = await rest.patch("/products?price=gt.0", json={"price": 1}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (406, "PGRST116")
    assert films.run("select min(price) from products") == [(30,)]
    answer = await rest.patch("/products?sku=eq.CL2031&select=price", json={"price": 1}, headers=headers)
    assert answer.json() == {"price": 1}


async def test_more_rows_than_the_most_undo_the_change(rest, films):
    strict = prefer("handling=strict", "max-affected=1")
    answer = await rest.delete("/products?price=gt.0", headers=strict)
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "PGRST124",
        "message": "Query result exceeds max-affected preference constraint",
        "details": "The query affects 2 rows",
        "hint": None,
    }
    assert films.run("select count(*) from products") == [(2,)]
    assert (await rest.delete("/products?sku=eq.CL2031", headers=strict)).status_code == 204
    lenient = await rest.delete("/products?price=gt.0", headers=prefer("max-affected=0"))
    assert lenient.status_code == 204


async def test_a_rollback_answers_as_if_and_keeps_nothing(rest, films):
    headers = prefer("tx=rollback", "return=representation")
    answer = await rest.post("/products", json={"sku": "x"}, headers=headers)
    assert (answer.status_code, answer.json()[0]["sku"]) == (201, "x")
    assert "tx=rollback" in answer.headers["preference-applied"]
    assert films.run("select count(*) from products") == [(2,)]


async def test_preferences_that_are_not_understood_are_refused_where_handling_is_strict(rest):
    answer = await rest.get("/films", headers=prefer("handling=strict", "foo", "bar"))
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "PGRST122",
        "message": "Invalid preferences given with handling=strict",
        "details": "Invalid preferences: foo, bar",
        "hint": None,
    }
    assert (await rest.get("/films", headers=prefer("handling=lenient", "foo", "bar"))).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"sku": "CL2031"}, 409, "23505"),
        ({"name": "x"}, 400, "23502"),
        ({"sku": "x", "price": -1}, 400, "23514"),
        ({"sku": "x", "price": "much"}, 400, "22P02"),
    ],
)
async def test_a_violated_constraint_has_the_documented_status(rest, body, status, code):
    answer = await rest.post("/products", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "details", "hint", "message"}


async def test_a_foreign_key_that_leads_nowhere_is_409(rest):
    answer = await rest.post("/films", json={"director_id": 999})
    assert (answer.status_code, answer.json()["code"]) == (409, "23503")


async def test_a_view_can_be_written(rest, films):
    answer = await rest.patch("/recent_films?id=eq.4", json={"title": "M"}, headers=FULL)
    assert answer.json() == [{"id": 4, "title": "M", "year": 1927}]
    answer = await rest.post(
        "/recent_films", json={"title": "N", "year": 2000}, headers=prefer("resolution=merge-duplicates")
    )
    assert (answer.status_code, answer.headers.get("preference-applied")) == (201, None)


async def test_a_put_inserts_the_row_that_its_key_names_and_then_replaces_it(rest):
    answer = await rest.put("/products?sku=eq.x", json=[{"sku": "x", "price": 1}], headers=FULL)
    assert (answer.status_code, answer.json()) == (201, [{"sku": "x", "name": None, "price": 1}])
    assert answer.headers["preference-applied"] == "return=representation"
    assert "content-range" not in answer.headers
    answer = await rest.put("/products?sku=eq.x", json={"sku": "x", "name": "X", "price": 2})
    assert (answer.status_code, answer.content) == (204, b"")
    one = {"Accept": "application/vnd.pgrst.object+json", "Prefer": "return=representation"}
    rows = [{"sku": "x", "name": "X", "price": 3}, {"sku": "y"}]
    answer = await rest.put("/products?sku=eq.x&select=sku,price", json=rows, headers=one)
    assert (answer.status_code, answer.json()) == (200, {"sku": "x", "price": 3})
    assert (
        await rest.put("/roles?film_id=eq.1&actor_id=eq.1", json={"film_id": 1, "actor_id": 1})
    ).status_code == 201
    assert (await rest.put("/products?sku=eq.z", json={"sku": "z"})).status_code == 201
    listed = await rest.get("/products?sku=in.(x,y,z)&select=sku,price&order=sku")
    assert listed.json() == [{"sku": "x", "price": 3}, {"sku": "z", "price": None}]


@pytest.mark.parametrize(
    "path",
    [
        "/products",
        "/products?price=eq.1",
        "/products?sku=neq.x",
        "/products?sku=not.eq.x",
        "/products?sku=in.(x)",
        "/products?sku=eq(any).{x}",
        "/products?sku=eq.x&sku=eq.y",
        "/products?sku=eq.x&price=eq.1",
        "/products?and=(sku.eq.x)",
        "/roles?film_id=eq.1",
        "/recent_films?id=eq.1",
    ],
)
async def test_a_put_that_names_no_key_is_pgrst105(rest, path):
    answer = await rest.put(path, json={"sku": "x"})
    assert (answer.status_code, answer.json()["code"]) == (405, "PGRST105")


async def test_a_put_of_another_row_than_its_key_names_changes_nothing(rest):
    for row in ({"sku": "CL2031", "price": 1}, {"price": 1}, []):
        answer = await rest.put("/products?sku=eq.CL2040", json=row, headers=FULL)
        assert (answer.status_code, answer.json()["code"]) == (400, "PGRST115"), row
    for range_ in ("limit=1", "offset=1"):
        answer = await rest.put(f"/products?sku=eq.x&{range_}", json={"sku": "x"})
        assert (answer.status_code, answer.json()["code"]) == (400, "PGRST114")
    listed = (await rest.get("/products?select=sku,price&order=sku")).json()
    assert listed == [{"sku": "CL2031", "price": 30}, {"sku": "CL2040", "price": 50}]


async def test_a_put_obeys_row_level_security(rest, user):
    theirs = {"id": 2, "owner": USER_A, "body": "mine now"}
    assert (await user.put("/notes?id=eq.2", json=theirs)).status_code == 403
    assert (await user.put("/notes?id=eq.1", json={**theirs, "id": 1})).status_code == 204
    assert (await rest.get("/notes?select=body&order=id")).json() == [{"body": "mine now"}, {"body": "of b"}]
