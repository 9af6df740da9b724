"""Which answer a caller gets: a fresh one, a stale one, one standing in for a failed load, or a new one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Final

from sba_cache.coherence import Coherence
from sba_cache.errors import NotCacheable
from sba_cache.flights import Flights, landed
from sba_cache.loads import Loader, Loads, forbid_loop
from sba_cache.local import Entry, Local
from sba_cache.reading import Question, Reader
from sba_cache.record import Record
from sba_resilience.deadline import Deadline
from sba_resilience.errors import RedisError
from sba_telemetry import get_logger

REFRESH_AGAIN: Final = 1.0
"""Seconds until a refresh that brought nothing new is tried again."""
SAY_AGAIN: Final = 1.0
"""Seconds for which further failed refreshes of a namespace are not logged."""
_log = get_logger(__name__)


class Answers:
    """Decides between what is known and a load.

    Args:
        reader: What Redis has.
        loads: Runs loaders.
        coherence: Whether what is in the process is still believed.
        local: What is in the process.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        reader: Reader,
        loads: Loads,
        coherence: Coherence,
        local: Local,
        clock: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._loads = loads
        self._coherence = coherence
        self._local = local
        self._clock = clock
        self._quiet_until: dict[str, float] = {}
        self._flights: Flights[Entry] = Flights(coherence.holds)

    async def fresh(self, asked: Question) -> Entry | None:
        """The value if it is there and fresh.

        Raises:
            RedisError: Redis is away.
        """
        entry = self._believed(asked, self._local.get(asked.key))
        if entry is not None and self._clock() < entry.fresh_until:
            asked.meter.hit_l1.count += 1
            return entry
        found = await self._reader.read(asked)
        if found.entry is not None and self._clock() < found.entry.fresh_until:
            asked.meter.hit_l2.count += 1
            return found.entry
        asked.meter.count(found.outcome)
        return None

    async def get(self, asked: Question, loader: Loader, kept: Entry | None) -> Entry:
        """The value, loaded if need be.

        Args:
            asked: The question.
            loader: Answers it.
            kept: What is in the process for its key.

        Raises:
            LoadsItself: Asked for by the load of the same key.
            Exception: What the loader failed with.
        """
        entry = self._believed(asked, kept)
        if entry is not None and self._serves(asked, entry, loader):
            return entry
        forbid_loop(asked.key)
        try:
            answer = await self._reader.ask(asked)
            found = self._reader.read_in(asked, answer) or await self._reader.settled(asked, answer)
        except RedisError:
            asked.meter.error.count += 1
            mark = self._coherence.mark(asked.scope)
            alone = partial(self._loads.alone, asked, loader)
            task = self._flights.start((asked.key, asked.codec, b""), mark, alone)
            return await self._landed(asked, task, entry)
        if found.entry is not None and self._serves(asked, found.entry, loader, from_redis=True):
            return found.entry
        asked.meter.count(found.outcome)
        work = partial(self._loads.fetch, asked, loader, found.record, found.seen)
        task = self._flights.start((asked.key, asked.codec, found.stamp), found.mark, work)
        return await self._landed(asked, task, found.entry)

    def _believed(self, asked: Question, kept: Entry | None) -> Entry | None:
        if kept is None or not asked.kind.fits(kept):
            return None
        return kept if self._coherence.holds(kept.mark) else None

    def _serves(self, asked: Question, entry: Entry, loader: Loader, *, from_redis: bool = False) -> bool:
        """Whether an entry is the answer, refreshing it in the background when its time has come."""
        now, meter = self._clock(), asked.meter
        if now < entry.held_until and now < entry.fresh_until + asked.policy.fail_safe:
            meter.failsafe.count += 1
            return True
        if now >= entry.fresh_until + asked.policy.stale:
            return False
        if now >= entry.fresh_until:
            meter.stale.count += 1
        else:
            (meter.hit_l2 if from_redis else meter.hit_l1).count += 1
        if now >= entry.until and now >= entry.retry_at:
            self._refresh(asked, entry, loader, now)
        return True

    def _refresh(self, asked: Question, entry: Entry, loader: Loader, now: float) -> None:
        entry.retry_at = now + REFRESH_AGAIN
        entry.until = min(entry.fresh_until, entry.retry_at)
        record, mark = entry.record, self._coherence.mark(asked.scope)
        work = partial(self._refreshed, asked, loader, record)
        _ = self._flights.start((asked.key, asked.codec, record.stamp), mark, work)

    async def _refreshed(self, asked: Question, loader: Loader, record: Record) -> Entry:
        try:
            return await self._loads.fetch(asked, loader, record, record.head)
        except Exception as error:
            asked.meter.refresh_failures.count += 1
            self._say(asked.meter.namespace, error)
            raise

    def _say(self, namespace: str, error: Exception) -> None:
        """Log a refresh that failed; one a second of a namespace tells enough, the metric counts all."""
        now = self._clock()
        if now >= self._quiet_until.get(namespace, -math.inf):
            self._quiet_until[namespace] = now + SAY_AGAIN
            _log.warning("cache.refresh_failed", namespace=namespace, error=type(error).__name__)

    async def _landed(self, asked: Question, task: asyncio.Task[Entry], old: Entry | None) -> Entry:
        """The loaded value, or an old one when that fails or takes too long."""
        if old is None or not asked.policy.fail_safe:
            return await landed(task)
        try:
            return await landed(task, asked.policy.soft_timeout)
        except NotCacheable:
            raise
        except Exception:
            if _out_of_time():
                raise
            if await self._stands_in(asked, old):
                return old
            return await landed(task)

    async def _stands_in(self, asked: Question, old: Entry) -> bool:
        """Whether an old value may still be served: it is not too old, and was not invalidated since."""
        now = self._clock()
        if now >= old.fresh_until + asked.policy.fail_safe:
            return False
        if not self._coherence.holds(old.mark):
            try:
                if not await self._reader.current(asked, old.record.stamp):
                    return False
            except RedisError:
                return False
        asked.meter.failsafe.count += 1
        old.held_until = now + asked.policy.hold
        return True


def _out_of_time() -> bool:
    deadline = Deadline.current()
    return deadline is not None and deadline.remaining() <= 0
