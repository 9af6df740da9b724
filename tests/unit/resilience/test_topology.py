"""What nodes say about who serves what."""

from __future__ import annotations

import pytest

from sba_resilience.redis import RedisCommandError
from sba_resilience.redis.topology import Redirect, Shard, shards_of

ASKED = ("seed", 7000)


def test_every_range_has_its_primary_and_replicas() -> None:
    reply = [
        [0, 99, [b"10.0.0.1", 6379, b"id1", []], [b"10.0.0.2", 6380, b"id2", []]],
        [100, 16383, [b"node.example", 6379, b"id3", []]],
    ]
    assert shards_of(reply, ASKED) == (
        Shard(0, 99, ("10.0.0.1", 6379), (("10.0.0.2", 6380),)),
        Shard(100, 16383, ("node.example", 6379)),
    )


@pytest.mark.parametrize("unnamed", [b"", None, b"?"])
def test_a_node_without_a_name_is_where_it_was_asked(unnamed: bytes | None) -> None:
    (shard,) = shards_of([[0, 16383, [unnamed, 7001, b"id"]]], ASKED)
    assert shard.primary == ("seed", 7001)


@pytest.mark.parametrize(
    ("message", "address"),
    [
        ("3999 10.0.0.1:6381", ("10.0.0.1", 6381)),
        ("3999 node.example:6381", ("node.example", 6381)),
        ("3999 ::1:6381", ("::1", 6381)),
        ("3999 :6381", ("seed", 6381)),
        ("3999 ?:6381", ("seed", 6381)),
    ],
)
def test_a_redirect_names_a_slot_and_a_node(message: str, address: tuple[str, int]) -> None:
    assert Redirect.of(RedisCommandError("MOVED", message), ASKED) == Redirect(3999, address, asking=False)
    assert Redirect.of(RedisCommandError("ASK", message), ASKED) == Redirect(3999, address, asking=True)


def test_other_errors_are_no_redirects() -> None:
    assert Redirect.of(RedisCommandError("WRONGTYPE", "1 a:1"), ASKED) is None
