"""The codec of run events: what goes in comes out, and nothing else comes in."""

from __future__ import annotations

import json
from datetime import UTC
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_agents import events
from sba_agents.errors import MalformedEvent
from sba_agents.events import RunEvent

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
run_events = st.builds(
    RunEvent,
    tenant_id=st.uuids(),
    run_id=st.uuids(),
    seq=st.integers(1, 2**53),
    type=text,
    data=st.dictionaries(text, values, max_size=4),
    created_at=st.datetimes(timezones=st.just(UTC)),
)


@given(run_events)
def test_an_event_survives_the_wire(event: RunEvent) -> None:
    assert events.decode(events.encode(event)) == event
    assert events.decode({b"e": events.encode(event)}) == event
    assert events.decode({"e": events.encode(event)}) == event


@given(st.binary(max_size=60))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(MalformedEvent):
        events.decode(noise)


@pytest.mark.parametrize(
    ("index", "value"),
    [(0, "x"), (1, 7), (2, "1"), (2, True), (3, None), (4, []), (4, None), (5, "soon"), (5, 1)],
)
def test_a_field_of_the_wrong_kind_is_refused(index: int, value: object) -> None:
    tenant, run = str(UUID(int=1)), str(UUID(int=2))
    words: list[object] = [tenant, run, 1, "run.started", {}, "2026-11-01T00:00:00+00:00"]
    assert events.decode(json.dumps(words).encode()).seq == 1
    words[index] = value
    with pytest.raises(MalformedEvent):
        events.decode(json.dumps(words).encode())


def test_an_entry_without_the_field_is_refused() -> None:
    with pytest.raises(MalformedEvent):
        events.decode({b"other": b"[]"})


@given(st.uuids())
def test_a_tenants_stream_is_one_of_the_shards_and_always_the_same(tenant: UUID) -> None:
    assert events.stream_key(tenant) in {f"sba:events:{shard}" for shard in range(events.SHARDS)}
    assert events.stream_key(tenant) == events.stream_key(UUID(str(tenant)))


def test_tenants_spread_over_all_shards() -> None:
    assert len({events.stream_key(UUID(int=number)) for number in range(400)}) == events.SHARDS


async def test_publishing_to_nobody_is_no_error() -> None:
    await events.publish(None, [])
