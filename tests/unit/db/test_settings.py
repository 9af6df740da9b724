"""Settings that leave nothing to work with are refused when they are made, by name."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_db import DatabaseSettings, InvalidValue
from sba_db.settings import TIMES, milliseconds

URL = "postgresql://h/d"


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
def test_a_time_is_positive_and_ends(name, value):
    with pytest.raises(InvalidValue) as refused:
        DatabaseSettings(url=URL, **{name: value})

    assert refused.value.field == name


@pytest.mark.parametrize(
    ("given_values", "field"),
    [
        ({"max_size": 0, "min_size": 0}, "max_size"),
        ({"min_size": 3, "max_size": 2}, "max_size"),
        ({"min_size": -1}, "max_size"),
        ({"attempts": 0}, "attempts"),
        ({"slow_query": -0.1}, "slow_query"),
        ({"slow_query": math.nan}, "slow_query"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_by_name(given_values, field):
    with pytest.raises(InvalidValue) as refused:
        DatabaseSettings(url=URL, **given_values)

    assert refused.value.field == field


def test_the_least_that_makes_sense_is_taken():
    settings = DatabaseSettings(url=URL, min_size=0, max_size=1, attempts=1, slow_query=None)

    assert (settings.min_size, settings.max_size) == (0, 1)


@given(st.floats(min_value=1e-9, max_value=1e6))
def test_no_time_becomes_a_limit_of_nothing_which_would_be_none(seconds):
    assert milliseconds(seconds) >= 1
    assert abs(milliseconds(seconds) - seconds * 1000) <= 1
