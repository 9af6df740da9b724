"""Limits: what they accept and where they are stored."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from enum import StrEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_ratelimit import Limit, Quota
from sba_ratelimit.key import hash_tag

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


@given(KEYS, st.integers(0, 400), st.integers(1, 400))
def test_what_comes_after_the_first_two_parts_never_changes_the_hash_slot(
    key: tuple[str, ...], tag: int, rest: int
) -> None:
    first = ("tenant", "x" * tag + key[0])
    tags = {
        hash_tag(Limit(1, per=1, key=(*first, *after)).stored)
        for after in ((), key, ("user", "x" * rest), ("user", "x" * 400))
    }
    assert len(tags) == 1


@given(st.text(alphabet="\ud800\udfffa%uD8:", min_size=1, max_size=8), st.integers(0, 1))
def test_a_lone_surrogate_is_stored_as_text_that_can_be_sent(text: str, place: int) -> None:
    key = ("tenant", text) if place else ("tenant", "t", "user", text)
    assert Limit(1, per=1, key=key).redis_key.encode("ascii")
    assert Limit(1, per=1, key=key).redis_key != Limit(1, per=1, key=(*key[:-1], f"{text}x")).redis_key


def test_a_lone_surrogate_is_not_the_text_that_stands_for_it() -> None:
    names = ["\ud800", "%uD800", "%25uD800", "uD800", "?"]
    assert len({Limit(1, per=1, key=("tenant", name)).redis_key for name in names}) == len(names)


def test_no_short_part_is_taken_for_the_digest_of_a_long_one() -> None:
    long = Limit(1, per=1, key=("x" * 300, "t", "user", "y" * 300)).stored
    tag, rest = hash_tag(long), long.partition("}:")[2]
    short = Limit(1, per=1, key=(tag,), name=rest).stored
    assert hash_tag(short) != tag
    assert short.partition("}:")[2] != rest


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


def test_keys_that_are_equal_are_stored_in_one_place() -> None:
    class Kind(StrEnum):
        USER = "user"

    same = [Limit(1, per=1, key=key) for key in ((Kind.USER, 1), ("user", True), ("user", 1))]
    assert same[0].redis_key == Limit(1, per=1, key=("user", "1")).redis_key
    uuid, text = (Limit(1, per=1, key=("user", tenant)) for tenant in (TENANT, str(TENANT)))
    assert uuid.redis_key == text.redis_key
    assert {limit.redis_key for limit in same} == {"sba:rl:{user:1}:default"}
    assert len(set(same)) == 1


def test_the_algorithms_do_not_share_a_place() -> None:
    sliding = Limit(1, per=1, key=("ip", "a"), algorithm="sliding_window")
    assert sliding.redis_key == "sba:rls:{ip:a}:default"
    assert sliding.stored == Limit(1, per=1, key=("ip", "a")).stored


def test_limits_are_equal_by_quota_and_key() -> None:
    one, other = (Limit(10, per=60, key=("tenant", TENANT), name="a") for _ in range(2))
    assert one == other == Limit.of(Quota(10, per=60, name="a"), "tenant", TENANT)
    assert hash(one) == hash(other)
    assert one.quota is other.quota
    assert one != Limit(10, per=60, key=("tenant", TENANT), name="a", on_outage="closed")
    assert one != Limit(11, per=60, key=("tenant", TENANT), name="a")
    assert one != Limit(10, per=60, key=("tenant", "other"), name="a")
    with pytest.raises(FrozenInstanceError):
        one.key = ("tenant", "other")  # type: ignore[misc]
    with pytest.raises(ValueError, match="at least one part"):
        Limit.of(one.quota)


def test_the_hash_tag_is_what_redis_takes() -> None:
    assert hash_tag(Limit(1, per=1, key=("a", "b", "c")).redis_key) == "a:b"


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
        {"on_outage": "opne"},
        {"algorithm": "fixed_window"},
        {"algorithm": "sliding_window", "burst": 3},
        {"name": 'a"b'},
        {"name": "a\r\nSet-Cookie: x"},
        {"name": "é"},
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|most|least|is|has no"):
        Limit(**({"count": 1, "per": 1, "key": ("k",)} | wrong))
