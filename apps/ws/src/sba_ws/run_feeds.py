"""All feeds of this node: who follows which run, and the tasks that read the table for them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol
from uuid import UUID

from sba_agents.events import TERMINAL, RunEvent, stream_key
from sba_db import DatabaseError
from sba_telemetry.logs import get_logger
from sba_telemetry.metrics import counter, gauge
from sba_ws.feeds import Feed, Sink, TableRead
from sba_ws.limits import Limits

_log = get_logger(__name__)

_FEEDS = gauge("sba.ws.feeds", description="Runs that at least one socket of this node follows")
_READS = counter("sba.ws.table_reads", description="Pages read from the event table, by outcome")
_FIRST_RETRY, _LAST_RETRY = 0.1, 2.0


class RunKey(NamedTuple):
    """A run, never without its tenant."""

    tenant_id: UUID
    run_id: UUID


class ReadEvents(Protocol):
    """How a page of the table is read."""

    def __call__(self, run: RunKey, *, after: int, limit: int) -> Awaitable[list[RunEvent]]:
        """Events with ``seq > after`` in order, at most ``limit``.

        Raises:
            DatabaseError: The page cannot be read now.
            TimeoutError: It took too long.
        """


class Shards(Protocol):
    """The streams this node reads, counted by who needs them."""

    def hold(self, key: str) -> None:
        """Read this stream too; one more needs it."""

    def release(self, key: str) -> None:
        """One fewer needs it."""


class RunFeeds:
    """Delivers runs' events to the sinks that follow them.

    Args:
        read: Reads the table.
        shards: Told which streams are needed.
        limits: Page size, concurrency and poll intervals.
    """

    def __init__(self, *, read: ReadEvents, shards: Shards, limits: Limits) -> None:
        self._read = read
        self._shards = shards
        self._limits = limits
        self._feeds: dict[RunKey, Feed[RunEvent]] = {}
        self._pumps: dict[RunKey, asyncio.Task[None]] = {}
        self._reading = asyncio.Semaphore(limits.table_reads)

    def __len__(self) -> int:
        return len(self._feeds)

    def follows(self, run: RunKey, subscriber: str) -> bool:
        """Whether this subscriber follows that run."""
        return run in self._feeds and subscriber in self._feeds[run]

    def subscribe(
        self, run: RunKey, subscriber: str, sink: Sink[RunEvent], *, after: int, finished: bool
    ) -> None:
        """Deliver the run's events after ``after``, those of the past first.

        Nothing is delivered before the caller next yields to the event loop.

        Args:
            run: Already known to exist and to be the subscriber's to see.
            subscriber: Who, unique on this node.
            sink: Where to.
            after: The last ``seq`` the subscriber knows, 0 for none. Ignored when it follows already.
            finished: Whether the run was seen to be over.
        """
        feed = self._feeds.get(run)
        if feed is None:
            feed = self._feeds[run] = Feed(terminal=TERMINAL)
            self._shards.hold(stream_key(run.tenant_id))
            _FEEDS.set(len(self._feeds))
        feed.subscribe(subscriber, sink, after=after)
        if finished:
            feed.finish()
        self._pump(run, feed)

    def unsubscribe(self, run: RunKey, subscriber: str) -> None:
        """Stop delivering; a no-op for someone who does not follow."""
        feed = self._feeds.get(run)
        if feed is None:
            return
        feed.unsubscribe(subscriber)
        if not len(feed):
            del self._feeds[run]
            self._shards.release(stream_key(run.tenant_id))
            _FEEDS.set(len(self._feeds))

    def live(self, event: RunEvent) -> None:
        """An event that Redis carried."""
        run = RunKey(event.tenant_id, event.run_id)
        feed = self._feeds.get(run)
        if feed is not None:
            feed.live(event)
            self._pump(run, feed)

    def resume(self, run: RunKey, subscriber: str) -> None:
        """A sink that had no room has room again."""
        feed = self._feeds.get(run)
        if feed is not None:
            feed.resume(subscriber)
            self._pump(run, feed)

    def doubt(self, key: str | None = None) -> None:
        """Live events of one stream, or of all, may have been missed."""
        for run, feed in tuple(self._feeds.items()):
            if key is None or stream_key(run.tenant_id) == key:
                feed.wake()
                self._pump(run, feed)

    async def poll(self, carried: Callable[[], Awaitable[bool]]) -> None:
        """Doubt everything at a slow pace, for as long as this runs.

        Args:
            carried: Whether Redis answers; while it does not, the pace is less slow.
        """
        waited = 0.0
        while True:
            pause = self._limits.outage_poll_interval * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load
            await asyncio.sleep(pause)
            waited += pause
            if waited >= self._limits.poll_interval or not await carried():
                waited = 0.0
                self.doubt()

    async def aclose(self) -> None:
        """Stop all reading."""
        pumps = tuple(self._pumps.values())
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    def _pump(self, run: RunKey, feed: Feed[RunEvent]) -> None:
        if feed.waiting and run not in self._pumps:
            pump = asyncio.create_task(self._read_all(run))
            self._pumps[run] = pump
            pump.add_done_callback(lambda done: self._pumped(run, done))

    def _pumped(self, run: RunKey, pump: asyncio.Task[None]) -> None:
        del self._pumps[run]
        if pump.cancelled():
            return
        if (error := pump.exception()) is not None:
            _log.error("run_events_reader_failed", exc_info=error)
        elif (feed := self._feeds.get(run)) is not None:
            self._pump(run, feed)

    async def _read_all(self, run: RunKey) -> None:
        pause = _FIRST_RETRY
        while (feed := self._feeds.get(run)) is not None and (read := feed.next_read()) is not None:
            try:
                await self._read_page(run, feed, read)
                pause = _FIRST_RETRY
            except (DatabaseError, TimeoutError) as error:
                feed.abandon(read)
                _READS.add(1, {"outcome": "failed"})
                _log.warning("run_events_unread", reason=type(error).__name__)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
                pause = min(pause * 2, _LAST_RETRY)

    async def _read_page(self, run: RunKey, feed: Feed[RunEvent], read: TableRead) -> None:
        limit = self._limits.page
        async with self._reading:
            events = await self._read(run, after=read.after, limit=limit)
        _READS.add(1, {"outcome": "ok"})
        feed.fill(read, events, more=len(events) == limit)
