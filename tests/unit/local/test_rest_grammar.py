"""The grammar of the query string, without a database."""

import re
from urllib.parse import urlencode

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_local.supabase import rest
from sba_local.supabase.rest.binding import Binds, array_literal, quoted
from sba_local.supabase.rest.catalog import Catalog, Name
from sba_local.supabase.rest.conditions import Comparison, Group
from sba_local.supabase.rest.errors import ParseError, RestError
from sba_local.supabase.rest.fields import Field, Step
from sba_local.supabase.rest.media import negotiate
from sba_local.supabase.rest.payload import parse_arguments, parse_payload
from sba_local.supabase.rest.preferences import parse_preferences
from sba_local.supabase.rest.querystring import parse_query
from sba_local.supabase.rest.ranges import content_range
from sba_local.supabase.rest.relationships import find
from sba_local.supabase.rest.selection import Column, Embed, Star
from sba_local.supabase.rest.sqlstates import translate

GRAMMAR = "selectordrandnotinisab.,:()!*->\"'\\{}[]=$ _%é\x00"


def parse(**parameters):
    return parse_query(urlencode(parameters).encode())


def refusal(parser, *arguments):
    """The code of what is refused; None for what is not."""
    try:
        parser(*arguments)
    except RestError as error:
        return error.code
    return None


def test_the_public_names_are_the_contract():
    assert rest.__all__ == sorted(rest.__all__)
    assert all(hasattr(rest, name) for name in rest.__all__)


def test_a_selection_is_read_into_its_parts():
    query = parse(select="*,a,b:c->d->>0::int,e:f!g!inner(h,...i())")
    assert query.items == (
        Star(),
        Column(Field("a")),
        Column(Field("c", (Step("d", text=False), Step(0, text=True))), "b", "int"),
        Embed("f", (Column(Field("h")), Embed("i", (), spread=True)), "e", "g", inner=True),
    )


def test_logic_is_read_into_a_tree():
    tree = parse(**{"a.not.or": '(b.eq."x,\\"y",not.and(c.in.(1,"2)"),d.is.null))'}).scopes["a",].conditions
    assert tree == [
        Group(
            "or",
            (
                Comparison(Field("b"), "eq", 'x,"y'),
                Group(
                    "and",
                    (Comparison(Field("c"), "in", ("1", "2)")), Comparison(Field("d"), "is", "null")),
                    negated=True,
                ),
            ),
            negated=True,
        )
    ]


def test_a_columns_name_may_have_dashes_and_an_arrow_ends_it():
    (condition,) = parse(**{"a-b->c-d": "eq.1"}).outer.conditions
    assert condition.field == Field("a-b", (Step("c-d", text=False),))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["select", "order", "or", "a", "limit", "columns"]) | st.text(GRAMMAR),
            st.text(GRAMMAR),
        )
    )
)
def test_whatever_is_sent_parses_or_is_refused(pairs):
    assert refusal(parse_query, urlencode(pairs).encode()) in (None, "PGRST100", "PGRST103", "PGRST123")


@given(st.binary(max_size=40))
def test_whatever_bytes_are_sent_parse_or_are_refused(raw):
    for parser in (
        lambda: parse_query(raw),
        lambda: parse_payload(raw, ""),
        lambda: parse_arguments(raw, ""),
    ):
        assert refusal(parser) in (None, "PGRST100", "PGRST102", "PGRST103", "PGRST123")


@given(st.text())
def test_a_value_is_never_part_of_the_statement(value):
    binds = Binds()
    part = binds.add(value)
    assert (part.as_string(), binds.values) == ("%(p0)s", {"p0": value})


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_name_never_ends_its_quotes_nor_reads_as_a_place(name):
    text = quoted(name).as_string()
    assert text[0] == text[-1] == '"'
    assert '"' not in text[1:-1].replace('""', "")
    assert "%" not in text.replace("%%", "")
    assert text[1:-1].replace('""', '"').replace("%%", "%") == name


def test_a_name_with_a_nul_is_refused():
    with pytest.raises(RestError, match="0x00"):
        quoted("a\0b")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_an_array_is_written_as_postgres_reads_it(values):
    items = re.findall(r'"((?:[^"\\]|\\.)*)"', array_literal(values), re.DOTALL)
    assert [re.sub(r"\\(.)", r"\1", item, flags=re.DOTALL) for item in items] == values


def test_content_range_of_rows_and_of_none():
    assert (content_range(5, 2, 10), content_range(0, 0, None)) == ("5-6/10", "*/*")


def test_preferences_are_read_and_the_first_of_a_kind_counts():
    read = parse_preferences(["return=minimal, return=representation", "count=exact,max-affected=x,what"])
    assert read.chosen == {"return": "minimal", "count": "exact"}
    assert read.unknown == ("max-affected=x", "what")
    assert read.most is None


@pytest.mark.parametrize("accept", ["", "*/*", "application/json;q=0.5", "application/vnd.pgrst.array+json"])
def test_json_is_the_usual_answer(accept):
    assert negotiate(accept).content_type == "application/json; charset=utf-8"


def test_an_error_without_a_state_is_a_lost_connection():
    assert translate(psycopg.OperationalError("gone"), anonymous=True).code == "PGRST001"
    assert translate(psycopg.DataError("nul"), anonymous=True).code == "22021"


def test_a_form_with_too_many_fields_is_refused():
    for body in (b"a=1&" * 2000, b"\xff"):
        with pytest.raises(RestError, match=r"form|json"):
            parse_payload(body, "application/x-www-form-urlencoded")


def test_a_parse_error_says_where():
    with pytest.raises(ParseError) as caught:
        parse(select="a,,b")
    assert caught.value.message == '"failed to parse select parameter (a,,b)" (line 1, column 3)'
    assert caught.value.details == 'unexpected "," expecting a name'


def table(name, *columns, key=()):
    listed = [{"name": column, "type": ["pg_catalog", "int4"]} for column in columns]
    keys = {"primary_key": list(key), "uniques": [list(key)]}
    return {"schema": "s", "name": name, "kind": "r", "columns": listed, **keys}


def key(name, table, column, target):
    origin = {"table": ["s", table], "columns": [column]}
    return {"name": name, **origin, "target": ["s", target], "target_columns": ["id"]}


def test_two_join_tables_are_told_apart_by_their_names():
    catalog = Catalog(
        {
            "tables": [
                table("a", "id", key=["id"]),
                table("b", "id", key=["id"]),
                table("j", "a", "b", key=["a", "b"]),
                table("k", "a", "b", key=["a", "b"]),
            ],
            "foreign_keys": [
                key("ja", "j", "a", "a"),
                key("jb", "j", "b", "b"),
                key("ka", "k", "a", "a"),
                key("kb", "k", "b", "b"),
            ],
            "functions": [],
            "types": [],
        }
    )
    parent = catalog.relation("s", "a")
    with pytest.raises(RestError) as caught:
        find(catalog, parent, "b", None)
    assert caught.value.document()["details"][0] == {
        "cardinality": "many-to-many",
        "embedding": "a with b",
        "relationship": "j using ja(a) and jb(b)",
    }
    assert find(catalog, parent, "b", "k").junction == Name("s", "k")
    with pytest.raises(RestError, match="relationship") as caught:
        find(catalog, parent, "b", "x")
    assert "using the hint 'x'" in str(caught.value.details)
