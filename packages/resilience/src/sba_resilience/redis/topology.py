"""Who serves which hash slot of a cluster, as its nodes tell it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sba_resilience.errors import RedisCommandError
from sba_resilience.redis.places import Address
from sba_resilience.redis.words import Reply

SLOTS: Final = 16384
_UNNAMED: Final = ("", "?")  # a node that does not know its own name: it is where it was asked


@dataclass(frozen=True, slots=True)
class Shard:
    """A range of slots.

    Attributes:
        first: Its first slot.
        last: Its last slot.
        primary: Who serves it.
        replicas: Who would serve it next.
    """

    first: int
    last: int
    primary: Address
    replicas: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """A node's answer that another one serves a slot.

    Attributes:
        slot: The slot asked for.
        address: Who serves it.
        asking: Only this once: the slot is being moved.
    """

    slot: int
    address: Address
    asking: bool

    @classmethod
    def of(cls, error: RedisCommandError, asked: Address) -> Redirect | None:
        """The redirect an error stands for, if it is one.

        Args:
            error: What a node answered.
            asked: That node's address.
        """
        if error.code not in ("MOVED", "ASK"):
            return None
        slot, _, place = error.message.partition(" ")
        host, _, port = place.rpartition(":")
        return cls(int(slot), (_named(host.strip("[]"), asked), int(port)), error.code == "ASK")


def shards_of(reply: Reply, asked: Address) -> tuple[Shard, ...]:
    """What `CLUSTER SLOTS` says.

    Args:
        reply: The RESP2 reply.
        asked: The node that gave it.
    """
    return tuple(_shards(reply, asked))


def _shards(reply: Reply, asked: Address) -> Iterator[Shard]:
    for first, last, primary, *replicas in reply:
        yield Shard(
            first, last, _address(primary, asked), tuple(_address(replica, asked) for replica in replicas)
        )


def _address(node: Reply, asked: Address) -> Address:
    return _named(str(node[0] or b"", "utf-8"), asked), int(node[1])


def _named(host: str, asked: Address) -> str:
    return asked[0] if host in _UNNAMED else host
