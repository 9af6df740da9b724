"""Which hash slot a command belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from sba_resilience.redis import RedisCommandError
from sba_resilience.redis.keys import common_slot, keys_of


@given(st.text())
def test_a_key_is_in_the_slot_the_server_would_put_it_in(key: str) -> None:
    encoded = key.encode("utf-8", "surrogatepass") if key.isprintable() else key.encode(errors="replace")
    assert common_slot([encoded]) == key_slot(encoded)


@given(st.text("ab", min_size=1), st.lists(st.text("abc{}"), min_size=1))
def test_keys_with_a_tag_in_common_are_in_one_slot(tag: str, rest: list[str]) -> None:
    assert common_slot([f"{{{tag}}}{end}" for end in rest]) == common_slot([f"{{{tag}}}"])


def test_no_keys_are_in_no_slot() -> None:
    assert common_slot([]) is None


def test_keys_in_different_slots_are_refused_with_what_to_do() -> None:
    with pytest.raises(RedisCommandError, match="tag") as caught:
        common_slot(["a", "b"])
    assert caught.value.code == "CROSSSLOT"


@pytest.mark.parametrize("name", ["GET", "get", b"get", b"GeT"])
def test_a_command_is_known_however_it_is_written(name: str | bytes) -> None:
    assert keys_of((name, "k")) == ("k",)


@pytest.mark.parametrize(
    "words", [("EVAL", "return 1"), ("EVAL", "return 1", "many"), ("XREAD", "COUNT", 1), ("ZUNIONSTORE", "d")]
)
def test_what_is_malformed_has_no_keys(words: tuple[str, ...]) -> None:
    assert keys_of(words) == ()


def test_a_command_without_a_rule_is_left_to_the_server() -> None:
    assert keys_of(("SORT", "k")) is None
