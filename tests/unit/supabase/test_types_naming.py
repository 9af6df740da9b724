"""Whatever a database calls its things, the generated module is Python and means the same."""

from __future__ import annotations

import ast
import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from sba_supabase.types.annotations import annotation
from sba_supabase.types.introspection import Kind
from sba_supabase.types.naming import class_name, constant_name, enum_name, field_name, literal, sentence

NAMES = st.text(min_size=1, max_size=63)


@given(NAMES)
def test_every_name_becomes_an_identifier(name: str):
    for made in (f"{class_name(name)}Row", enum_name(name), constant_name(name), field_name(name)):
        assert made.isidentifier()
        assert not keyword.iskeyword(made)


@given(NAMES)
def test_no_field_hides_a_method_of_its_model(name: str):
    assert not hasattr(BaseModel, field_name(name))


@given(NAMES)
def test_a_literal_is_the_text_and_nothing_else(text: str):
    assert ast.literal_eval(literal(text)) == text


@given(st.text(max_size=400))
def test_a_comment_cannot_leave_its_docstring(text: str):
    made = sentence(text, "Something.")
    assert ast.literal_eval(f'"""{made}"""') == made
    assert made.endswith((".", "!", "?"))
    assert len(made) <= 92


@pytest.mark.parametrize(
    ("name", "made"),
    [("agent_runs", "AgentRuns"), ("2fa-codes", "N2faCodes"), ("jsonB", "JsonB"), ("…", "N")],
)
def test_names_read_as_python_does(name: str, made: str):
    assert class_name(name) == made


def kind(oid: int, name: str, **given_: object) -> Kind:
    plain = {
        "kind": "b",
        "element": 0,
        "is_array": False,
        "base": 0,
        "relation": None,
        "ours": False,
        "labels": [],
    }
    return Kind(oid=oid, name=name, **{**plain, **given_})


def test_types_are_those_of_postgrests_json():
    kinds = [
        kind(1, "int8"),
        kind(2, "_int8", element=1, is_array=True),
        kind(3, "positive", kind="d", base=1),
        kind(4, "mood", kind="e", ours=True),
        kind(5, "mood", kind="e"),
        kind(6, "tsvector"),
        kind(7, "point2", kind="c"),
        kind(8, "things", kind="c", relation="things"),
        kind(9, "_positive", element=3, is_array=True),
        kind(10, "loop", kind="d", base=10),
    ]
    known = {each.oid: each for each in kinds}
    made = " ".join(annotation(oid, known) for oid in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99))
    anything = "JsonValue"
    assert made == f"int list[int] int Mood str str {anything} ThingsRow list[int] {anything} {anything}"
