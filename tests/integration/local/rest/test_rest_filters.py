"""Horizontal filtering, as references/api/tables_views and url_grammar describe it."""

import pytest


@pytest.fixture
def films(shared_films):
    return shared_films


FILTERS = [
    ("year=lt.1895", [2]),
    ("year=gte.1895&year=lte.1897", [1, 3]),
    ("year=gt.1897", [4]),
    ("year=eq.1894", [2]),
    ("year=neq.1894", [1, 3, 4]),
    ("year=not.eq.1894", [1, 3, 4]),
    ("title=like.The*", [2, 3]),
    ("title=like.the*", []),
    ("title=ilike.the*", [2, 3]),
    ("title=match.^The.*Castle$", [3]),
    ("title=imatch.^the.*castle$", [3]),
    ("year=in.(1894,1927)", [2, 4]),
    ("year=not.in.(1894,1927)", [1, 3]),
    ("year=in.()", []),
    ("rating=is.null", [3]),
    ("rating=not.is.null", [1, 2, 4]),
    ("rating=is.not_null", [1, 2, 4]),
    ("rating=is.NULL", [3]),
    ("director_id=isdistinct.2", [2, 3, 4]),
    ("tags=cs.{short}", [1, 2]),
    ('tags=cs.{"black, white"}', [1]),
    ("tags=cd.{horror,short}", [3, 4]),
    ("tags=ov.{sound,horror}", [2, 3]),
    ('data=cs.{"kind":"horror"}', [3]),
    ("shown=ov.[1897-06-01,1898-06-01)", [3]),
    ("shown=cs.[1895-04-01,1895-05-01)", [1, 2]),
    ("shown=sl.[1896-01-01,1897-01-01)", [1, 2]),
    ("shown=sr.[1895-12-29,1896-01-01)", [3]),
    ("shown=nxr.[1894-01-01,1896-01-01)", [1, 2]),
    ("shown=nxl.[1897-01-01,1899-01-01)", [3]),
    ("shown=adj.[1898-01-01,1899-01-01)", [3]),
    ("words=fts.castle", [3]),
    ("words=fts(english).castles", [3]),
    ("words=plfts.Haunted Castle", [3]),
    ("words=phfts(english).The Haunted Castle", [3]),
    ("words=phfts.castle haunted", []),
    ("words=wfts.castle or metropolis", [3, 4]),
    ("words=not.wfts(english).castle", [1, 2, 4]),
    ("title=fts(english).castles", [3]),
    ("data=fts.horror", [3]),
    ("title=like(any).{The*,Metro*}", [2, 3, 4]),
    ("title=like(all).{The*,*Castle}", [3]),
    ("title=ilike(any).{the*,metro*}", [2, 3, 4]),
    ("year=eq(any).{1894,1895}", [1, 2]),
    ("year=gt(all).{1894,1895}", [3, 4]),
    ("title=match(any).{^The,^Metro}", [2, 3, 4]),
    ("year=not.eq(any).{1894,1895}", [3, 4]),
    ("or=(year.lt.1895,year.gt.1900)", [2, 4]),
    ("not.or=(year.lt.1895,year.gt.1900)", [1, 3]),
    ("not.and=(year.gte.1895,year.lte.1897)", [2, 4]),
    ("and=(year.gte.1895,or(rating.is.null,rating.gt.8))", [3, 4]),
    ("language=eq.french&or=(year.eq.1897,not.and(year.gte.1890,year.lte.1896))", [3]),
    ('or=(tags.cs.{short,sound},title.in.("Metropolis","x"))', [2, 4]),
    ('or=(shown.ov."[1897-06-01,1898-06-01)",year.eq.1927)', [3, 4]),
    ('or=(title.eq."Metropolis",title.like(any).{The D*})', [2, 4]),
    ('or=(data.cs.{"kind":"horror"},year.eq.1894)', [2, 3]),
    ("data->>kind=eq.horror", [3]),
    ("data->age=gt.20", [1, 2]),
    ("details->age=gt.20", [1, 2]),
    ("data->a->b->0=eq.10", [1]),
    ("data->a->b->-1=eq.1", [2]),
    ("data->a->b->>1=eq.20", [1]),
    ("or=(data->>kind.eq.horror,data->a->b->>0.eq.1)", [2, 3]),
    ("tags->>0=eq.horror", [3]),
    ("directors.last_name=eq.x&select=id,directors(id)", [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS, ids=[query for query, _ in FILTERS])
async def test_a_filter_keeps_the_rows_that_the_documentation_says(rest, query, expected):
    answer = await rest.get(f"/films?order=id&{query}")
    assert answer.status_code == 200, answer.text
    assert [row["id"] for row in answer.json()] == expected


async def test_a_column_with_reserved_characters_is_quoted_and_one_with_spaces_is_not(rest):
    answer = await rest.get("/Order%20Items?Unit%20Price=lt.200")
    assert [row["id"] for row in answer.json()] == [1]
    answer = await rest.get("/Order%20Items?%22information.cpe%22=like.*MS*")
    assert [row["id"] for row in answer.json()] == [1]


async def test_quotes_and_backslashes_in_a_list_are_escaped_by_backslashes(rest):
    answer = await rest.get("/marks?order=id&name=in.(%22Quote:%5C%22%22,%22Backslash:%5C%5C%22)")
    assert [row["id"] for row in answer.json()] == [1, 2]


async def test_a_computed_column_can_be_filtered_selected_and_sorted_by(rest):
    answer = await rest.get("/directors?full_name=fts.Dickson&select=id,full_name")
    assert answer.json() == [{"id": 1, "full_name": "William Dickson"}]
    answer = await rest.get("/directors?order=full_name.desc.nullslast&select=id&limit=1")
    assert answer.json() == [{"id": 1}]


@pytest.mark.parametrize(
    "query",
    [
        "year=1894",
        "year=equals.1894",
        "year=eq",
        "year=in.1894",
        "year=in.(1894",
        "rating=is.nothing",
        "year=eq(some).{1}",
        "year=neq(any).{1}",
        "title=fts().x",
        "or=year.eq.1",
        "or=(year.eq.1",
        "or=()",
        "or=(year.eq.1)x",
        "data->=eq.1",
        "order=year.up",
        "order=",
        "select=id,",
        "select=id(",
        "select=id::",
        "select=data->",
        "limit=ten",
        "offset=1.5",
        "limit=99999999999999999999",
        "columns=",
        "%ff=eq.1",
        "or=" + "and(" * 200,
    ],
)
async def test_what_does_not_parse_is_pgrst100(rest, query):
    answer = await rest.get(f"/films?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST100")


async def test_a_parse_error_has_the_four_members_and_says_where(rest):
    error = (await rest.get("/films?year=foo.1")).json()
    assert set(error) == {"code", "details", "hint", "message"}
    assert error["message"].startswith('"failed to parse filter (foo.1)" (line 1, column ')


async def test_a_value_of_the_wrong_type_is_the_databases_error(rest):
    answer = await rest.get("/films?year=eq.long ago")
    assert (answer.status_code, answer.json()["code"]) == (400, "22P02")


async def test_an_operator_the_type_does_not_have_is_404_as_undefined_function(rest):
    answer = await rest.get("/films?year=like.18*")
    assert (answer.status_code, answer.json()["code"]) == (404, "42883")


async def test_a_column_that_is_not_there_is_42703(rest):
    for query in ("nothing=eq.1", "select=nothing", "order=nothing", "or=(nothing.eq.1)"):
        answer = await rest.get(f"/films?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "42703")
        assert answer.json()["message"] == "column films.nothing does not exist"
