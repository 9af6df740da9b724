"""Find out which of the commands in use a server lacks or forbids, without touching anyone's data."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from sba_resilience.errors import RedisCommandError
from sba_resilience.redis.lane import Lane
from sba_resilience.redis.words import Reply, Word, pack

Command: TypeAlias = tuple[Word, ...]

KEY = "<key>"
KNOWN = frozenset({"NOSCRIPT", "MOVED", "ASK"})  # errors of a server that knows the command and allows it
HELLO: Command = ("HELLO", 3)


class Feature(NamedTuple):
    """Commands that are of use only together.

    Attributes:
        name: What logs and documents call them.
        fallback: What happens without them.
        harmless: Forms of the commands that change nothing.
        creating: Forms that create keys below `KEY`; asked only when the keys can be deleted again.
    """

    name: str
    fallback: str
    harmless: tuple[Command, ...]
    creating: tuple[Command, ...] = ()


DELETE: Command = ("DEL", KEY, f"{KEY}:h", f"{KEY}:l", f"{KEY}:z", f"{KEY}:x")
FEATURES = (
    Feature(
        "values",
        "none: the cache loads every time, and limits follow their outage policy",
        (
            ("PING",),
            ("GET", KEY),
            ("MGET", KEY),
            DELETE,
            ("PEXPIRE", KEY, 1),
            ("PTTL", KEY),
            ("STRLEN", KEY),
            ("GETRANGE", KEY, 0, 0),
            ("TYPE", KEY),
            ("SET", KEY, "", "XX", "EX", 1),
        ),
        (("SET", KEY, "", "NX", "PX", 1),),
    ),
    Feature(
        "scripts",
        "none: limits follow their outage policy, and processes load side by side",
        (("EVALSHA", "0" * 40, 1, KEY), ("EVAL", "return redis.call('TIME')", 1, KEY)),
    ),
    Feature(
        "sorted sets",
        "leases of concurrency limits follow their outage policy",
        (
            ("ZADD", f"{KEY}:z", "XX", 1, "m"),
            ("ZCARD", f"{KEY}:z"),
            ("ZRANGE", f"{KEY}:z", 0, -1),
            ("ZREM", f"{KEY}:z", "m"),
            ("ZREMRANGEBYSCORE", f"{KEY}:z", 0, 1),
            ("ZSCORE", f"{KEY}:z", "m"),
        ),
    ),
    Feature(
        "hashes and lists",
        "canaries are decided by each process for itself",
        (
            ("HDEL", f"{KEY}:h", "f"),
            ("HGET", f"{KEY}:h", "f"),
            ("HGETALL", f"{KEY}:h"),
            ("HMGET", f"{KEY}:h", "f"),
            ("LRANGE", f"{KEY}:l", 0, -1),
            ("LTRIM", f"{KEY}:l", 0, 1),
        ),
        (("HSET", f"{KEY}:h", "f", 1), ("HINCRBY", f"{KEY}:h", "f", 1), ("LPUSH", f"{KEY}:l", 1)),
    ),
    Feature(
        "streams",
        "none: events reach listeners only from the table, when they ask for it",
        (
            ("XADD", f"{KEY}:x", "NOMKSTREAM", "MAXLEN", "~", 1, "*", "f", ""),
            ("XREVRANGE", f"{KEY}:x", "+", "-", "COUNT", 1),
            ("XREAD", "COUNT", 1, "BLOCK", 1, "STREAMS", f"{KEY}:x", "0"),
        ),
    ),
    Feature(
        "unblocking",
        "a stream that is added is read once the running read has ended, after `block` seconds",
        (("CLIENT", "ID"), ("CLIENT", "UNBLOCK", 0)),
    ),
    Feature(
        "server time",
        "`server_time()` is None; its users ask in a script or do without",
        (("TIME",),),
    ),
    Feature(
        "server identity",
        "watches begin anew, with a gap, whenever the connection for commands is a new one",
        (("INFO", "server"),),
    ),
    Feature(
        "connection names",
        "`CLIENT LIST` shows connections without a name",
        (("CLIENT", "SETNAME", "sba-probe"), ("CLIENT", "SETINFO", "LIB-NAME", "sba")),
    ),
    Feature(
        "client tracking",
        "watches never become live: what they guard is trusted for its own short time only",
        (HELLO, ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", KEY), ("CLIENT", "TRACKING", "OFF")),
    ),
)


@dataclass(frozen=True, slots=True)
class Missing:
    """What a server lacks or forbids.

    Attributes:
        feature: Name of the feature.
        commands: The commands it refused.
        fallback: What happens instead.
    """

    feature: str
    commands: tuple[str, ...]
    fallback: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server can do for us.

    Attributes:
        server: Its name and version, as far as it tells.
        missing: Features it lacks, in whole or in part.
    """

    server: str
    missing: tuple[Missing, ...]

    def has(self, feature: str) -> bool:
        """Whether all of a feature is there."""
        return all(lacked.feature != feature for lacked in self.missing)


async def ask(lane: Lane) -> Capabilities:
    """Try every command on a connection that is of no further use afterwards.

    Raises:
        RedisUnavailable: The server cannot answer now.
    """
    key = f"sba:probe:{{{secrets.token_hex(8)}}}"
    replies = await _replies(lane, key, [words for feature in FEATURES for words in feature.harmless])
    if not isinstance(replies[DELETE], RedisCommandError):
        creating = [words for feature in FEATURES for words in feature.creating]
        replies |= await _replies(lane, key, [*creating, DELETE])
    missing = (_missing(feature, replies) for feature in FEATURES)
    return Capabilities(_server(replies[HELLO]), tuple(lacked for lacked in missing if lacked is not None))


async def _replies(lane: Lane, key: str, commands: Iterable[Command]) -> dict[Command, Reply]:
    sending = {words: lane.send(pack(tuple(_below(key, word) for word in words))) for words in commands}
    replies = await asyncio.gather(*sending.values(), return_exceptions=True)
    for reply in replies:
        if isinstance(reply, BaseException) and not isinstance(reply, RedisCommandError):
            raise reply
    return dict(zip(sending, replies, strict=True))


def _below(key: str, word: Word) -> Word:
    return word.replace(KEY, key) if isinstance(word, str) else word


def _missing(feature: Feature, replies: dict[Command, Reply]) -> Missing | None:
    commands = (*feature.harmless, *feature.creating)
    refused = {_name(words): None for words in commands if _refused(replies.get(words))}
    return Missing(feature.name, tuple(refused), feature.fallback) if refused else None


def _refused(reply: Reply) -> bool:
    return isinstance(reply, RedisCommandError) and reply.code not in KNOWN


def _name(words: Command) -> str:
    return " ".join(str(word) for word in words[: 2 if words[0] == "CLIENT" else 1])


def _server(greeting: Reply) -> str:
    if not isinstance(greeting, dict):
        return "unknown"
    told = (greeting.get(word) for word in (b"server", b"version"))
    return " ".join(str(word, "utf-8", "replace") for word in told if isinstance(word, bytes)) or "unknown"
