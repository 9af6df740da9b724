"""Vertical filtering, order, ranges and representations, as PostgREST's documentation describes them."""

import pytest

from sba_local.supabase.rest import RestSettings


@pytest.fixture
def films(shared_films):
    return shared_films


async def rows(rest, path, **headers):
    answer = await rest.get(path, headers=headers)
    assert answer.status_code in (200, 206), answer.text
    return answer.json()


async def test_columns_are_chosen_renamed_and_cast(rest):
    assert await rows(rest, "/films?id=eq.1&select=fullTitle:title,rating::text,y:year::text") == [
        {"fullTitle": "Workers Leaving The Lumière Factory In Lyon", "rating": "7.1", "y": "1895"}
    ]


async def test_a_cast_understands_the_standards_spelling_of_types(rest):
    query = "select=a:rating::integer,b:rating::double precision,c:tags::text[],d:year::character varying"
    assert await rows(rest, f"/films?id=eq.4&{query}") == [{"a": 8, "b": 8.3, "c": [], "d": "1927"}]


async def test_an_unknown_type_is_42704(rest):
    answer = await rest.get("/films?select=id::nothing")
    assert (answer.status_code, answer.json()["code"]) == (400, "42704")


async def test_paths_into_json_are_named_after_their_last_member(rest):
    query = "select=id,data->>kind,data->a->b->0,first:tags->0,data->a"
    assert await rows(rest, f"/films?id=eq.1&{query}") == [
        {"id": 1, "kind": "short", "b": 10, "first": "short", "a": {"b": [10, 20]}}
    ]


async def test_a_path_can_be_cast(rest):
    assert await rows(rest, "/films?id=eq.1&select=data->>age::int") == [{"age": 25}]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("year", [2, 1, 3, 4]),
        ("year.desc", [4, 3, 1, 2]),
        ("rating", [2, 1, 4, 3]),
        ("rating.nullsfirst", [3, 2, 1, 4]),
        ("rating.desc.nullslast", [4, 1, 2, 3]),
        ("language.desc,year.desc", [4, 3, 1, 2]),
        ("data->>kind.nullslast", [3, 1, 2, 4]),
        ("data->age.desc.nullslast", [2, 1, 3, 4]),
    ],
)
async def test_rows_are_sorted(rest, order, expected):
    assert [row["id"] for row in await rows(rest, f"/films?select=id&order={order}")] == expected


@pytest.mark.parametrize(
    ("query", "headers", "expected", "content_range"),
    [
        ("limit=2", {}, [1, 2], "0-1/*"),
        ("limit=2&offset=1", {}, [2, 3], "1-2/*"),
        ("offset=3", {}, [4], "3-3/*"),
        ("", {"Range": "0-1"}, [1, 2], "0-1/*"),
        ("", {"Range": "items=1-2", "Range-Unit": "items"}, [2, 3], "1-2/*"),
        ("", {"Range": "2-"}, [3, 4], "2-3/*"),
        ("", {"Range": "0-19"}, [1, 2, 3, 4], "0-3/*"),
        ("limit=3", {"Range": "1-9"}, [2, 3], "1-2/*"),
        ("limit=0", {}, [], "*/*"),
        ("", {"Range": "nonsense"}, [1, 2, 3, 4], "0-3/*"),
        ("offset=9", {}, [], "*/*"),
    ],
)
async def test_a_range_is_asked_for_by_parameters_or_header(rest, query, headers, expected, content_range):
    answer = await rest.get(f"/films?order=id&{query}", headers=headers)
    assert answer.status_code == 200
    assert [row["id"] for row in answer.json()] == expected
    assert answer.headers["content-range"] == content_range


@pytest.mark.parametrize("mode", ["exact", "estimated"])
async def test_a_counted_part_is_206_and_a_counted_whole_200(rest, mode):
    part = await rest.get("/films?limit=2", headers={"Prefer": f"count={mode}"})
    assert (part.status_code, part.headers["content-range"]) == (206, "0-1/4")
    assert part.headers["preference-applied"] == f"count={mode}"
    whole = await rest.get("/films?year=gt.1894", headers={"Prefer": f"count={mode}"})
    assert (whole.status_code, whole.headers["content-range"]) == (200, "0-2/3")
    none = await rest.get("/films?year=eq.1", headers={"Prefer": f"count={mode}"})
    assert (none.status_code, none.headers["content-range"]) == (200, "*/0")


async def test_a_planned_count_is_what_the_planner_guesses(rest):
    answer = await rest.head("/films?limit=1", headers={"Prefer": "count=planned"})
    shown, total = answer.headers["content-range"].split("/")
    assert (answer.status_code, shown, total) == (206, "0-0", "4")


async def test_an_offset_beyond_a_counted_whole_is_416(rest):
    answer = await rest.get("/films?offset=20", headers={"Prefer": "count=exact"})
    assert answer.status_code == 416
    assert answer.json() == {
        "code": "PGRST103",
        "message": "Requested range not satisfiable",
        "details": "An offset of 20 was requested, but there are only 4 rows.",
        "hint": None,
    }


@pytest.mark.parametrize(("query", "headers"), [("", {"Range": "5-1"}), ("limit=-1", {})])
async def test_a_range_that_cannot_be_is_416(rest, query, headers):
    answer = await rest.get(f"/films?{query}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (416, "PGRST103")


async def test_head_answers_like_get_without_a_body(rest):
    answer = await rest.head("/films?limit=2", headers={"Prefer": "count=exact"})
    assert (answer.status_code, answer.headers["content-range"], answer.content) == (206, "0-1/4", b"")


async def test_one_object_is_answered_where_one_is_asked_for(rest):
    accept = {"Accept": "application/vnd.pgrst.object+json"}
    answer = await rest.get("/films?id=eq.1&select=id", headers=accept)
    assert answer.json() == {"id": 1}
    assert answer.headers["content-type"] == "application/vnd.pgrst.object+json; charset=utf-8"


@pytest.mark.parametrize(("query", "count"), [("id=eq.0", 0), ("id=gt.2", 2)])
async def test_one_object_asked_of_none_or_several_is_406(rest, query, count):
    answer = await rest.get(f"/films?{query}", headers={"Accept": "application/vnd.pgrst.object+json"})
    assert answer.status_code == 406
    assert answer.json() == {
        "code": "PGRST116",
        "message": "Cannot coerce the result to a single JSON object",
        "details": f"The result contains {count} rows",
        "hint": None,
    }


async def test_csv_has_a_header_and_quotes_what_needs_it(rest, films):
    answer = await rest.get(
        "/films?select=id,title,tags,rating&id=in.(1,3)&order=id", headers={"Accept": "text/csv"}
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.splitlines() == [
        "id,title,tags,rating",
        '1,"Workers Leaving The Lumière Factory In Lyon","{short,""black, white""}",7.1',
        '3,"The Haunted Castle",{horror},',
    ]


async def test_csv_of_nothing_is_empty(rest):
    assert (await rest.get("/films?id=eq.0", headers={"Accept": "text/csv"})).text == ""


async def test_nulls_are_left_out_on_request(rest):
    accept = {"Accept": "application/vnd.pgrst.array+json;nulls=stripped"}
    answer = await rest.get("/films?id=eq.3&select=id,rating", headers=accept)
    assert answer.json() == [{"id": 3}]
    assert answer.headers["content-type"] == "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8"


async def test_a_representation_that_there_is_not_is_pgrst107(rest):
    answer = await rest.get("/films", headers={"Accept": "unknown/unknown"})
    assert answer.json()["code"] == "PGRST107"
    assert answer.json()["message"] == "None of these media types are available: unknown/unknown"


async def test_the_first_representation_that_there_is_is_chosen(rest):
    answer = await rest.get("/films?select=id&limit=1", headers={"Accept": "text/html, text/csv;q=0.9"})
    assert answer.text == "id\n1"


async def test_a_view_is_read_like_a_table(rest):
    assert await rows(rest, "/recent_films") == [{"id": 4, "title": "Metropolis", "year": 1927}]


async def test_aggregates_are_off_as_they_are_by_default(rest):
    for select in ("count()", "rating.avg()"):
        answer = await rest.get(f"/films?select={select}")
        assert (answer.status_code, answer.json()["code"]) == (400, "PGRST123")


async def test_the_root_describes_what_the_role_may_reach(rest, anonymous):
    document = (await rest.get("/")).json()
    assert document["swagger"] == "2.0"
    assert "/films" in document["paths"]
    assert "/hidden" not in document["paths"]
    assert document["definitions"]["films"]["properties"]["id"] == {"type": "integer", "format": "int4"}
    assert (await anonymous.get("/")).headers["content-type"].startswith("application/openapi+json")


class TestWithSmallPages:
    @pytest.fixture
    def settings(self):
        return RestSettings(max_rows=2)

    async def test_no_answer_has_more_rows_than_the_limit(self, rest):
        answer = await rest.get("/films?order=id&limit=3", headers={"Prefer": "count=exact"})
        assert (len(answer.json()), answer.status_code) == (2, 206)
        assert answer.headers["content-range"] == "0-1/4"

    async def test_an_estimate_beyond_the_limit_is_the_planners(self, rest):
        answer = await rest.get("/films", headers={"Prefer": "count=estimated"})
        assert answer.headers["content-range"] == "0-1/4"

    async def test_an_estimate_within_the_limit_is_exact(self, rest):
        answer = await rest.get("/films?language=eq.french", headers={"Prefer": "count=estimated"})
        assert answer.headers["content-range"] == "0-1/2"
