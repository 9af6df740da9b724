from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_db import InvalidInput, PayloadTooLarge
from sba_knowledge import Document, FieldTooLarge, InvalidField, KnowledgeError
from sba_knowledge.document import CONTENT_LIMIT, METADATA_LIMIT


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("title", {"title": ""}),
        ("title", {"title": " \n"}),
        ("title", {"title": "x" * 301}),
        ("title", {"title": "a\0b"}),
        ("title", {"title": "\udfff"}),
        ("content", {"content": ""}),
        ("content", {"content": "\t \u3000"}),
        ("content", {"content": "before\0after"}),
        ("content", {"content": "x\ud83d"}),
        ("metadata", {"metadata": ["not", "an", "object"]}),
        ("metadata", {"metadata": {"at": object()}}),
        ("metadata", {"metadata": {"n": float("nan")}}),
        ("metadata", {"metadata": {"n": float("inf")}}),
        ("metadata", {"metadata": {"deep": {"text": "\0"}}}),
        ("metadata", {"metadata": {"\0": 1}}),
        ("metadata", {"metadata": {"text": "\ud800"}}),
        ("metadata", {"metadata": {"text": "\\\\\0"}}),
    ],
)
def test_a_field_that_cannot_be_stored_is_refused_by_name(field, values):
    with pytest.raises(InvalidField) as refused:
        Document(**{"title": "Title", "content": "Content", **values})
    assert refused.value.field == field
    assert str(refused.value) == f"{field}: {refused.value.reason}"


@pytest.mark.parametrize(
    ("field", "limit", "values"),
    [
        ("content", CONTENT_LIMIT, {"content": "x" * (CONTENT_LIMIT + 1)}),
        ("content", CONTENT_LIMIT, {"content": "é" * (CONTENT_LIMIT // 2 + 1)}),
        ("metadata", METADATA_LIMIT, {"metadata": {"x": "y" * METADATA_LIMIT}}),
    ],
)
def test_a_field_over_its_limit_says_how_large_it_may_be(field, limit, values):
    with pytest.raises(FieldTooLarge) as refused:
        Document(**{"title": "Title", "content": "Content", **values})
    assert (refused.value.field, refused.value.limit) == (field, limit)
    assert refused.value.size > limit


def test_a_metadata_that_contains_itself_is_refused():
    looped: dict[str, object] = {}
    looped["self"] = looped
    with pytest.raises(InvalidField, match="metadata"):
        Document("Title", "Content", looped)


def test_documents_at_their_limits_are_accepted():
    document = Document("é" * 300, "x" * CONTENT_LIMIT, {"text": "\\u0000 written out", "none": None})
    assert len(document.title) == 300


def test_refusals_are_known_to_the_data_layers_error_table():
    assert issubclass(InvalidField, KnowledgeError)
    assert issubclass(InvalidField, InvalidInput)
    assert issubclass(FieldTooLarge, KnowledgeError)
    assert issubclass(FieldTooLarge, PayloadTooLarge)


def test_the_text_of_a_document_is_not_in_its_repr():
    assert "marzipan" not in repr(Document("Title", "marzipan", {"word": "marzipan"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_metadata_is_accepted_exactly_when_its_text_can_be_stored(metadata):
    storable = "\0" not in str_of(metadata) and not any(
        0xD800 <= ord(character) <= 0xDFFF for character in str_of(metadata)
    )
    try:
        Document("Title", "Content", metadata)
    except InvalidField:
        assert not storable
    else:
        assert storable


def str_of(value: object) -> str:
    """Every text inside a JSON value, joined."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(str_of(key) + str_of(inner) for key, inner in value.items())
    if isinstance(value, list):
        return "".join(map(str_of, value))
    return ""
