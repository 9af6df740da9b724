"""What Redis has for a question, and whether it may be believed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from sba_cache.adaptive import Adaptive
from sba_cache.coherence import Coherence, Mark, Scope
from sba_cache.gathering import Answer, Gathering, stamp_of
from sba_cache.key import CacheKey
from sba_cache.lease import Names
from sba_cache.local import Entry, Kind, Local
from sba_cache.metrics import Meter
from sba_cache.policy import Policy
from sba_cache.record import HEAD_BYTES, Codec, Foreign, Record
from sba_cache.versions import Versions
from sba_resilience.redis import RedisClient


class Question(NamedTuple):
    """What is asked, and how an answer may be found and kept.

    Attributes:
        key: The question itself.
        kind: What the answer is, and what it is invalidated with besides its namespace.
        names: Where the answer is stored.
        ttl: Seconds to keep a new answer.
        policy: What may be served when.
    """

    key: CacheKey
    kind: Kind
    names: Names
    ttl: float | Adaptive
    policy: Policy

    @property
    def codec(self) -> Codec[Any]:
        """Of the answer."""
        return self.kind.codec

    @property
    def scope(self) -> Scope:
        """What the answer depends on."""
        return self.names.scope

    @property
    def meter(self) -> Meter:
        """Where the answer is counted."""
        return self.names.scope.meter


class Found(NamedTuple):
    """What was stored.

    Attributes:
        entry: The value, fresh or not, when it was loaded under the present versions.
        record: What is known of it even when it was not.
        seen: The first bytes stored, of whatever origin.
        stamp: The present versions.
        mark: Taken before the read.
        outcome: How to count it if it does not answer: `miss`, `invalidated` or `foreign`.
    """

    entry: Entry | None
    record: Record | None
    seen: bytes
    stamp: bytes
    mark: Mark
    outcome: str


class Reader:
    """Reads values with the versions they depend on, in one round trip.

    Args:
        redis: The guarded client.
        coherence: Marks what is read.
        versions: Settled before a load begins.
        local: Where what was read is kept in the process.
        clock: Monotonic seconds.
        now: The server's unix seconds, or None while unknown.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        coherence: Coherence,
        versions: Versions,
        local: Local,
        clock: Callable[[], float],
        now: Callable[[], float | None],
    ) -> None:
        self._redis = redis
        self._coherence = coherence
        self._versions = versions
        self._gathering = Gathering(redis, coherence=coherence, versions=versions, now=now)
        self._local = local
        self._clock = clock
        self._now = now

    async def read(self, asked: Question) -> Found:
        """The value and its versions.

        Raises:
            RedisError: They cannot be read, or an invalidation is still owed.
        """
        answer = await self.ask(asked)
        return self.read_in(asked, answer) or await self.settled(asked, answer)

    def ask(self, asked: Question) -> Awaitable[Answer]:
        """Have the value and its versions read; raises as `read` does."""
        scope, digest = asked.names
        return self._gathering.read(scope, scope.value_prefix + digest)

    def read_in(self, asked: Question, answer: Answer) -> Found | None:
        """What an answer comes to, if nothing else has to be asked for."""
        if answer is None:
            return None
        (_, stamp, mark, now), stored = answer
        return None if stamp is None or now is None else self.found(asked, stored, stamp, mark, now)

    async def settled(self, asked: Question, answer: Answer) -> Found:
        """What an answer comes to, with all that has to be asked for; raises as `read` does."""
        while answer is None:
            answer = await self.ask(asked)
        present, stored = answer
        if present.stamp is None:
            stamp = await self._versions.first(asked.scope, present.versions)
            return Found(None, None, head_of(stored), stamp, present.mark, "miss")
        now = await self.server_now() if present.now is None else present.now
        return self.found(asked, stored, present.stamp, present.mark, now)

    async def current(self, asked: Question, stamp: bytes) -> bool:
        """Whether the versions are still these.

        Raises:
            RedisError: They cannot be read, or an invalidation is still owed.
        """
        await self._versions.settle(asked.scope)
        versions: list[bytes | None] = await self._redis.execute("MGET", *asked.scope.version_keys)
        return stamp_of(versions) == stamp and not self._versions.owes(asked.scope)

    def found(self, asked: Question, stored: bytes | None, stamp: bytes, mark: Mark, now: float) -> Found:
        """What stored bytes are under the present versions; a value of these is kept in the process."""
        if not stored:
            return Found(None, None, b"", stamp, mark, "miss")
        codec = asked.kind.codec
        try:
            record = codec.open(stored)
            if record.stamp != stamp:
                return Found(None, record, record.head, stamp, mark, "invalidated")
            value = codec.decode(record.payload)
        except Foreign:
            return Found(None, None, head_of(stored), stamp, mark, "foreign")
        entry = self.keep(asked, record, value, mark, now)
        return Found(entry, record, record.head, stamp, mark, "miss")

    def keep(self, asked: Question, record: Record, value: Any, mark: Mark, now: float) -> Entry:  # noqa: ANN401 - any value has its type
        """Keep a value in the process for as long as its mark holds."""
        entry = Entry(asked.kind, record, value, mark)
        entry.age_to(self._clock() + min(record.stored_at + record.ttl - now, record.ttl), asked.policy.early)
        if self._local.keeps:
            known = self._local.get(asked.key)
            if known is not None and known.record.head == record.head:
                entry.follow(known)
            self._local.put(asked.key, entry)
        return entry

    async def server_now(self) -> float:
        """The server's unix seconds.

        Raises:
            RedisError: They are not known and cannot be asked for.
        """
        now = self._now()
        if now is not None:
            return now
        seconds, micros = await self._redis.execute("TIME")
        return int(seconds) + int(micros) / 1e6

    def known_now(self) -> float:
        """The server's unix seconds; 0 when unknown: what is stored then is of the past."""
        return self._now() or 0.0


def head_of(stored: bytes | None) -> bytes:
    """What tells one stored value of a key from the next."""
    return (stored or b"")[:HEAD_BYTES]
