"""What is hashed of an audit row, how the sealer goes round, and what an anchor's file may say."""

from __future__ import annotations

import json
import uuid
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_db.anchors import Anchor, from_json, to_json
from sba_db.errors import InvalidValue
from sba_db.seals import FIRST, link, row_hash, seal

FIELDS = st.lists(st.none() | st.text(), min_size=10, max_size=10)
ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)


def test_the_digest_of_a_row_is_what_was_agreed():
    fields = [
        str(ONE),
        str(TWO),
        None,
        "run.create",
        "agent_run",
        "é",
        None,
        '{"a": 1.50}',
        "",
        "1764547200000000",
    ]

    digest = "e27ea10a24f22e358abfb9d235771c9a9b4114a0e53bb01f936f435a5bc96725"
    chained = "0f9026ef4ba496b8e88c45d57a7b5ccbf06da366880e07fa8c6b406bbb4f8365"

    assert row_hash(fields).hex() == digest
    assert link(FIRST, 1, 1764547200000000, TWO, row_hash(fields)).hex() == chained
    assert link(FIRST, 1, 1764547200000000, TWO, None) != link(
        FIRST, 1, 1764547200000000, TWO, row_hash(fields)
    )


@given(FIELDS, FIELDS)
def test_two_rows_that_differ_in_any_field_have_different_digests(one, other):
    assert (row_hash(one) == row_hash(other)) == (one == other)


def test_no_field_can_pass_for_its_neighbour_or_for_nothing():
    rows = [["ab", "c"], ["a", "bc"], ["1:a", "b"], [None, "b"], ["-", "b"], ["", "b"], ["a", None]]

    assert len({row_hash(row) for row in rows}) == len(rows)


@given(st.integers(1, 2**40), st.integers(-(2**50), 2**50), st.uuids())
def test_a_seal_depends_on_everything_in_it(position, moment, audit_id):
    whole = link(FIRST, position, moment, audit_id, FIRST)

    assert len({
        whole,
        link(b"\1" * 32, position, moment, audit_id, FIRST),
        link(FIRST, position + 1, moment, audit_id, FIRST),
        link(FIRST, position, moment + 1, audit_id, FIRST),
        link(FIRST, position, moment, uuid.UUID(int=audit_id.int ^ 1), FIRST),
        link(FIRST, position, moment, audit_id, b"\1" * 32),
    }) == 6  # fmt: skip


class Scripted:
    """Answers batches in turn, and keeps what was asked."""

    def __init__(self, *batches: tuple[int | None, uuid.UUID | None, bool]) -> None:
        self._batches = deque(batches)
        self.past: list[uuid.UUID | None] = []

    async def __call__(self, query: str, **params: object) -> dict[str, object]:
        self.past.append(params["past"])
        return dict(zip(("taken", "reached", "more"), self._batches.popleft(), strict=True))


async def test_a_round_goes_on_where_the_last_batch_ended():
    ask = Scripted((5, ONE, False), (5, TWO, False), (1, None, False))

    assert await seal(ask) == 11
    assert ask.past == [None, ONE, TWO]


async def test_another_round_follows_while_a_tenant_has_more_than_its_share():
    ask = Scripted((5, ONE, True), (1, None, False), (3, ONE, False), (0, None, False))

    assert await seal(ask) == 9
    assert ask.past == [None, ONE, None, ONE]


async def test_the_work_is_left_to_another_sealer():
    assert await seal(Scripted((None, None, False))) == 0
    assert await seal(Scripted((7, ONE, True), (None, None, False))) == 7


@given(
    st.dictionaries(st.uuids(), st.builds(Anchor, st.integers(1, 2**62), st.binary(min_size=32, max_size=32)))
)
def test_anchors_survive_their_file(anchors):
    assert from_json(to_json(anchors)) == anchors


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        json.dumps({"x": {"position": 1, "hash": "00" * 32}}),
        json.dumps({str(ONE): {"position": 0, "hash": "00" * 32}}),
        json.dumps({str(ONE): {"position": True, "hash": "00" * 32}}),
        json.dumps({str(ONE): {"position": "1", "hash": "00" * 32}}),
        json.dumps({str(ONE): {"position": 1, "hash": "00"}}),
        json.dumps({str(ONE): {"position": 1, "hash": "zz" * 32}}),
        json.dumps({str(ONE): {"position": 1}}),
        json.dumps({str(ONE): 1}),
    ],
)
def test_a_file_that_is_no_anchor_is_refused(text):
    with pytest.raises(InvalidValue) as refused:
        from_json(text)

    assert refused.value.field == "anchor"
