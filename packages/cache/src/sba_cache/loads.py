"""One load for each question across processes, stored only if nothing was invalidated meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sba_cache import metrics
from sba_cache.adaptive import Adaptive, State
from sba_cache.coherence import Coherence
from sba_cache.errors import LoadsItself, LoadTimeout
from sba_cache.key import CacheKey
from sba_cache.lease import Leases, Turn
from sba_cache.local import Entry, Local
from sba_cache.policy import CacheSettings
from sba_cache.reading import Question, Reader, head_of
from sba_cache.record import NO_STATE, Record, Sealed
from sba_cache.versions import Versions
from sba_resilience.bulkhead import Bulkhead
from sba_resilience.errors import RedisError

NEGATIVE: Final = 5.0
"""Seconds an answer of None is kept at most, unless its policy says otherwise."""
POLL_FIRST: Final = 0.005
POLL_LAST: Final = 0.05
NONE: Final = b"\xc0"

Loader: TypeAlias = Callable[[], Awaitable[Any]]


@dataclass(eq=False, slots=True)
class _UnderWay:
    key: CacheKey
    ended: bool = False


_under_way: ContextVar[tuple[_UnderWay, ...]] = ContextVar("sba_cache_under_way", default=())


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a value is fresh and how long it is kept, in seconds, and what is known of its changes."""

    ttl: float
    keep: float
    state: bytes


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a loader gave: as every later reader will get it, encoded, and the seconds it took."""

    value: Any
    sealed: Sealed
    seconds: float


class Loads:
    """Runs loaders.

    Args:
        reader: Reads what others loaded, and keeps values in the process.
        leases: Grants the loads.
        coherence: Marks what is stored.
        versions: Which invalidations are still owed.
        local: How often the previous value was asked for.
        settings: Bounds of what is stored, and of loads while Redis is away.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        reader: Reader,
        leases: Leases,
        coherence: Coherence,
        versions: Versions,
        local: Local,
        settings: CacheSettings,
        clock: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._leases = leases
        self._coherence = coherence
        self._versions = versions
        self._local = local
        self._clock = clock
        self._largest = settings.largest
        self._outage = Bulkhead(settings.outage_loads, settings.outage_queue, name="cache.outage")

    async def fetch(self, asked: Question, loader: Loader, known: Record | None, seen: bytes) -> Entry:
        """Load the value, or wait for another process that is loading it.

        Args:
            asked: The question.
            loader: Answers it.
            known: What was stored before, whether or not it may still be served.
            seen: The first bytes of what is stored.

        Raises:
            NotCacheable: The value has no encoding.
            BulkheadFull: Redis is away and too many loads are under way.
            Exception: What the loader failed with.
        """
        pause = POLL_FIRST
        while True:
            turn, entry = await self._turn(asked, seen)
            if turn is None:
                asked.meter.unsaved.count += 1
                return await self.alone(asked, loader)
            if entry is not None:
                return entry
            if turn.granted:
                return await self._load(asked, loader, turn, known)
            if turn.stored is not None:
                seen = head_of(turn.stored)
                continue
            metrics.waits.count += 1
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 1.6, POLL_LAST)

    async def alone(self, asked: Question, loader: Loader) -> Entry:
        """Load without Redis: not stored, and believed for the window alone.

        Raises:
            NotCacheable: The value has no encoding.
            BulkheadFull: Too many such loads are under way.
            Exception: What the loader failed with.
        """
        async with self._outage.place():
            mark = self._coherence.unheard(asked.scope)
            loaded = await self._run(asked, loader)
        record = Record(b"", b"", loaded.sealed.payload, 0.0, 0.0, loaded.seconds, NO_STATE)
        entry = Entry(asked.kind, record, loaded.value, mark)
        entry.age_to(mark.until, 0.0)
        if not self._versions.owes(mark.scope):
            self._local.put(asked.key, entry)
        return entry

    def fits(self, sealed: Sealed) -> bool:
        """Whether a value is small enough to be stored."""
        return len(sealed.stored) <= self._largest

    def life(
        self, asked: Question, sealed: Sealed, known: Record | None, stamp: bytes, now: float
    ) -> Lifetime:
        """How long a new value is to be kept.

        Args:
            asked: The question.
            sealed: The new value.
            known: The one before.
            stamp: The versions of the new one.
            now: The server's unix seconds.
        """
        policy, adaptive = asked.policy, asked.ttl
        spread = random.uniform(1 - policy.jitter, 1 + policy.jitter)  # noqa: S311 - expiries apart
        if isinstance(adaptive, Adaptive):
            changed = known.payload != sealed.payload if known is not None and known.stamp == stamp else None
            learnt, best = self._learnt(asked, adaptive, known, now, changed=changed)
            ttl = min(max(best * spread, adaptive.minimum), adaptive.maximum)
            state, keep = learnt.pack(), 2 * ttl
        else:
            ttl = adaptive * spread
            state, keep = NO_STATE, 0.0
        if sealed.payload == NONE:
            ttl = min(ttl, NEGATIVE * spread if policy.negative_ttl is None else policy.negative_ttl * spread)
        return Lifetime(ttl, max(keep, ttl + policy.beyond), state)

    def _learnt(
        self, asked: Question, adaptive: Adaptive, known: Record | None, now: float, *, changed: bool | None
    ) -> tuple[State, float]:
        if known is None:
            return adaptive.first()
        entry = self._local.get(asked.key)
        hits = entry.hits if entry is not None and entry.record.head == known.head else 0
        age = now - known.stored_at
        return adaptive.next(State.unpack(known.state), changed=changed, age=age, hits=hits)

    async def _turn(self, asked: Question, seen: bytes) -> tuple[Turn | None, Entry | None]:
        """Ask for the lease; also the fresh value that someone else has stored meanwhile."""
        mark = self._coherence.mark(asked.scope)
        try:
            turn = await self._leases.begin(asked.names, seen)
            now = await self._reader.server_now()
        except RedisError:
            return None, None
        if self._versions.owes(asked.scope):
            return None, None
        if turn.stored is None:
            return turn, None
        entry = self._reader.found(asked, turn.stored, turn.stamp, mark, now).entry
        if entry is None or self._clock() >= entry.fresh_until:
            return turn, None
        return turn, entry

    async def _load(self, asked: Question, loader: Loader, turn: Turn, known: Record | None) -> Entry:
        async with self._leases.kept(asked.names, turn, asked.policy.hard_timeout):
            loaded = await self._run(asked, loader)
            return await self._store(asked, turn, loaded, known)

    async def _store(self, asked: Question, turn: Turn, loaded: Loaded, known: Record | None) -> Entry:
        now, sealed = self._reader.known_now(), loaded.sealed
        life = self.life(asked, sealed, known, turn.stamp, now)
        head = asked.codec.head(
            sealed,
            versions=len(asked.scope.version_keys),
            stored_at=now,
            ttl=life.ttl,
            load_seconds=loaded.seconds,
            state=life.state,
        )
        record = Record(head, turn.stamp, sealed.payload, now, life.ttl, loaded.seconds, life.state)
        mark = self._coherence.mark(asked.scope)
        fits = self.fits(sealed)
        asked.meter.unsaved.count += not fits
        try:
            stored = head + turn.stamp + sealed.stored if fits else b""
            kept = await self._leases.finish(asked.names, turn, stored, keep=life.keep)
        except RedisError:
            asked.meter.unsaved.count += fits
            kept = False
        if kept:
            return self._reader.keep(asked, record, loaded.value, mark, now)
        return Entry(asked.kind, record, loaded.value, mark)

    async def _run(self, asked: Question, loader: Loader) -> Loaded:
        """Run the loader, and see that its value will come back as it is."""
        mine = _UnderWay(asked.key)
        _under_way.set((*_under_way.get(), mine))  # in the flight's own context
        began = self._clock()
        try:
            value = await _within(asked, loader)
        finally:
            mine.ended = True
        seconds = max(0.0, self._clock() - began)
        metrics.loads.record(seconds, {"namespace": asked.meter.namespace})
        sealed = asked.codec.seal(value, asked.policy.compress)
        return Loaded(asked.codec.checked(sealed, value), sealed, seconds)


def forbid_loop(key: CacheKey) -> None:
    """Refuse to wait for the load this is called from.

    Raises:
        LoadsItself: It would wait for ever.
    """
    under_way = _under_way.get()
    if under_way and any(load.key == key and not load.ended for load in under_way):
        raise LoadsItself(key.namespace)


async def _within(asked: Question, loader: Loader) -> Any:  # noqa: ANN401 - whatever is loaded
    limit = asked.policy.hard_timeout
    timer = asyncio.timeout(limit)
    try:
        async with timer:
            return await loader()
    except TimeoutError as error:
        if limit is None or not timer.expired():
            raise
        raise LoadTimeout(asked.key.namespace, limit) from error
