"""A migration script is taken apart at its statements, whatever is quoted or commented in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_db.scripts import IndexBuild, Migration

SCRIPT = """-- first; not one
create table a (b text default ';', "c;d" int);

/* a comment; with
   a semicolon */ insert into a values ('it''s; fine', 1), (E'it\\'s; too', 2);
create function f() returns int language plpgsql as $body$ begin; return 1; end $body$;
;
select 1 -- no end;
"""


def statements(script: str) -> list[tuple[int, str]]:
    return [(one.line, one.text) for one in Migration("x", script).statements]


def test_a_script_is_cut_at_the_semicolons_of_its_code():
    assert [(line, text.split("(")[0]) for line, text in statements(SCRIPT)] == [
        (2, "create table a "),
        (5, "insert into a values "),
        (6, "create function f"),
        (8, "select 1 -- no end;"),
    ]


QUOTED = st.sampled_from(["'a;b'", '"a;b"', "$$a;b$$", "$t$;$$;$t$", "/* ; */ 1", "-- ;\n 1", "E'\\';'", "1"])


@given(st.lists(QUOTED, min_size=1, max_size=8))
def test_no_semicolon_inside_quotes_ends_a_statement(parts):
    script = ";\n".join(f"select {part}" for part in parts) + ";"

    assert [text for _, text in statements(script)] == [f"select {part}" for part in parts]


@pytest.mark.parametrize(
    "script",
    [
        "select 'create index concurrently x on y (z)'",
        'create table "concurrently" (id int)',
        "/* vacuum */ select 1",
        "select $$vacuum$$",
        "-- concurrently\nselect 1",
    ],
)
def test_only_code_makes_a_script_run_outside_a_transaction(script):
    assert Migration("x", script).transactional


@pytest.mark.parametrize("script", ["vacuum a", "reindex table concurrently a", "drop index concurrently a"])
def test_what_cannot_run_in_a_transaction_does_not(script):
    assert not Migration("x", script).transactional


@pytest.mark.parametrize(
    ("script", "repeatable"),
    [
        ("create index concurrently a on b (c)", True),
        ("create index concurrently a on b (c); drop index concurrently if exists d;", True),
        ("drop index concurrently d", False),
        ("create index concurrently a on b (c); insert into b values (1)", False),
        ("create index a on b (c)", False),
        ("create index concurrently on b (c)", False),
    ],
)
def test_only_builds_and_careful_drops_of_indexes_can_be_repeated(script, repeatable):
    assert Migration("x", script).repeatable is repeatable


def test_a_build_is_recognised_as_people_write_it():
    script = 'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "My Index"\n ON ONLY "service"."runs" (a)'

    assert Migration("x", script).statements[0].index_build == IndexBuild("My Index", '"service"."runs"')


def test_a_rehearsal_only_leaves_concurrently_out():
    script = "create index CONCURRENTLY a on b (c); select 'concurrently'"

    assert Migration("x", script).rehearsal == "create index  a on b (c); select 'concurrently'"
