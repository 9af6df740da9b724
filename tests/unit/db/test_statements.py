"""Named placeholders become numbered ones, and nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_db import StatementRefused
from sba_db.statements import parse

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
PLAIN = st.text(st.characters(exclude_characters="%$", codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(PLAIN, NAMES), max_size=8), PLAIN)
def test_the_same_name_has_the_same_number_wherever_it_stands(pieces, tail):
    statement = parse("".join(f"{text}%({name})s" for text, name in pieces) + tail)

    names = list(dict.fromkeys(name for _, name in pieces))
    expected = "".join(f"{text}${names.index(name) + 1}" for text, name in pieces) + tail
    assert statement.sql.decode() == expected
    assert statement.names == tuple(names)


def test_a_doubled_percent_sign_is_one_and_binds_nothing():
    statement = parse("select 5 %% 2, '%%(tenant)s'")

    assert (statement.sql, statement.names, statement.tenant_bound) == (
        b"select 5 % 2, '%(tenant)s'",
        (),
        False,
    )


@pytest.mark.parametrize("query", ["select 5 % 2", "like 'x%", "%s", "%(x)d", "%(x)"])
def test_any_other_percent_sign_is_refused(query):
    with pytest.raises(StatementRefused):
        parse(query)
