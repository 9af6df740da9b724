"""Bodies are strict JSON or a 422 that names what is wrong."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_api.bodies import MAX_DEPTH, MAX_VALUES, parse_json
from sba_api.problems import ProblemError

storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(storable, inner, max_size=4),
    max_leaves=20,
)


def refusal(raw: bytes) -> tuple[str, str]:
    with pytest.raises(ProblemError) as caught:
        parse_json(raw)
    problem = caught.value.problem
    assert problem.status == 422
    return problem.errors[0].field, problem.errors[0].rule


@given(values)
def test_what_json_can_say_and_a_database_can_hold_is_read_as_it_is(value):
    assert parse_json(json.dumps(value).encode()) == value


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(raw):
    with contextlib.suppress(ProblemError):
        parse_json(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", ("body", "json")),
        (b"{", ("body", "json")),
        (b'{"a":1} x', ("body", "json")),
        (b"\xff", ("body", "utf_8")),
        (b'{"a":1,"a":2}', ("body", "unique_keys")),
        (b'{"a":NaN}', ("body", "finite_number")),
        (b"[-Infinity]", ("body", "finite_number")),
        (b"[1e999]", ("body", "finite_number")),
        (b"[" + b"9" * 5_000 + b"]", ("body", "json")),
        (b'{"a":{"b":["x","y\\u0000"]}}', ("a.b.1", "no_nul")),
        (b'{"a\\u0000":1}', ("body", "no_nul")),
        (b'{"a":{"b\\u0000":1}}', ("a", "no_nul")),
        (b'{"prompt":"\\ud800"}', ("prompt", "unicode")),
        (b'"\\udfff"', ("body", "unicode")),
        (b"[" * 100_000, ("body", "max_depth")),
        (b"[" * 100_000 + b"]" * 100_000, ("body", "max_depth")),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), ("0." * (MAX_DEPTH - 1) + "0", "max_depth")),
        (b"[" + b"1," * MAX_VALUES + b"1]", ("body", "max_values")),
    ],
)
def test_a_refusal_names_the_field_and_the_rule(raw, expected):
    field, rule = refusal(raw)
    assert rule == expected[1]
    if rule != "max_depth":
        assert field == expected[0]


def test_a_surrogate_pair_is_one_character_and_passes():
    assert parse_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_the_deepest_allowed_nesting_passes():
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
