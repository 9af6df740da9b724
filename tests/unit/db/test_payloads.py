"""What may be stored is decided before anything is sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_db import InvalidValue, PayloadTooLarge, StepStatus, payloads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def storable(value: object) -> bool:
    text = json.dumps(value, ensure_ascii=False)
    loaded = json.loads(text)

    def clean(one: object) -> bool:
        if isinstance(one, str):
            return "\0" not in one and not any("\ud800" <= c <= "\udfff" for c in one)
        if isinstance(one, dict):
            return all(clean(key) and clean(inner) for key, inner in one.items())
        return not isinstance(one, list) or all(map(clean, one))

    return clean(loaded)


@given(JSON)
def test_a_document_passes_unchanged_exactly_when_postgres_can_hold_it(value):
    if storable(value):
        assert json.loads(payloads.document("field", value, limit=10**6)) == value
    else:
        with pytest.raises(InvalidValue) as refused:
            payloads.document("field", value, limit=10**6)
        assert refused.value.field == "field"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.integers(1, 40))
def test_a_text_passes_exactly_when_its_bytes_fit(value, limit):
    size = len(value.encode())
    if size <= limit:
        assert payloads.text("field", value, limit=limit) == value
    else:
        with pytest.raises(PayloadTooLarge) as refused:
            payloads.text("field", value, limit=limit)
        assert (refused.value.field, refused.value.limit, refused.value.size) == ("field", limit, size)


def test_a_document_nested_too_deep_or_around_itself_is_no_json():
    ring: list[object] = []
    ring.append(ring)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (ring, deep):
        with pytest.raises(InvalidValue):
            payloads.document("field", value, limit=10**9)


def test_an_escaped_backslash_before_u0000_is_plain_text():
    assert payloads.document("f", "\\u0000", limit=100) == '"\\\\u0000"'
    with pytest.raises(InvalidValue):
        payloads.document("f", "\\\0", limit=100)


def test_none_stays_none_where_it_may():
    assert payloads.optional_document("f", None, limit=1) is None
    assert payloads.optional_text("f", None, limit=1) is None
    assert payloads.mapping("f", None, limit=2) == "{}"


def test_a_choice_is_one_of_its_enumeration():
    assert payloads.choice("status", StepStatus.FAILED, StepStatus) == "failed"
    with pytest.raises(InvalidValue, match="succeeded, failed"):
        payloads.choice("status", "other", StepStatus)
