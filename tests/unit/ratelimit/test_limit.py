"""Limits: what they accept and where they are stored."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_ratelimit import Limit

PART = st.text(alphabet=":{}%ab/ é", min_size=1, max_size=6)
KEYS = st.lists(PART, min_size=1, max_size=4).map(tuple)
TENANT = UUID("0190f000-0000-7000-8000-000000000001")


@given(KEYS, KEYS)
def test_different_keys_are_never_stored_in_one_place(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    stored = {Limit(1, per=1, key=key).redis_key for key in (one, other)}
    assert (len(stored) == 1) == (one == other)


@given(st.lists(st.text(min_size=1, max_size=150), min_size=1, max_size=4).map(tuple))
def test_a_key_stays_short_whatever_the_client_put_in_it(key: tuple[str, ...]) -> None:
    assert len(Limit(1, per=1, key=key).redis_key) <= 200


def test_long_keys_differ_too_and_keep_their_hash_slot() -> None:
    one = Limit(1, per=1, key=("tenant", "x" * 300, "user", "a")).redis_key
    other = Limit(1, per=1, key=("tenant", "x" * 300, "user", "b")).redis_key
    assert one != other
    assert one.split("}")[0] == other.split("}")[0]


def test_limits_of_one_tenant_share_a_hash_slot() -> None:
    tenant = Limit(60, per=60, key=("tenant", TENANT), name="tenant").redis_key
    user = Limit(10, per=60, key=("tenant", TENANT, "user", 7), name="user").redis_key
    assert tenant == f"sba:rl:{{tenant:{TENANT}}}:tenant"
    assert user == f"sba:rl:{{tenant:{TENANT}}}:user:user:7"


def test_a_limit_is_named_apart_from_another_on_the_same_key() -> None:
    assert Limit(1, per=1, key=("ip", "a"), name="x").redis_key != Limit(1, per=1, key=("ip", "a")).redis_key


def test_a_unit_returns_no_sooner_than_the_rate_allows() -> None:
    assert Limit(60, per=60, key=("k",)).unit == 1_000_000
    assert Limit(7, per=1, key=("k",)).unit == 142_858
    assert Limit(1_000_000, per=1, key=("k",)).unit == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"per": 0},
        {"per": float("inf")},
        {"per": float("nan")},
        {"burst": 0},
        {"count": 2_000_000, "per": 1},
        {"count": 1, "per": 1e9, "burst": 10**6},
        {"key": ()},
        {"key": ("tenant", "")},
        {"name": ""},
        {"name": 'a"b'},
        {"name": "a\r\nSet-Cookie: x"},
        {"name": "é"},
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|most|least|is"):
        Limit(**({"count": 1, "per": 1, "key": ("k",)} | wrong))
