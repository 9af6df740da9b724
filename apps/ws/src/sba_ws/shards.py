"""The Redis Streams this node reads: exactly those its sockets need."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from sba_agents import MalformedEvent
from sba_agents.events import RunEvent, decode, stream_key
from sba_resilience.redis import Reconnected, RedisError, StreamEntry
from sba_telemetry.logs import get_logger
from sba_telemetry.metrics import counter

_log = get_logger(__name__)

_CARRIED = counter("sba.ws.stream_entries", description="Stream entries read, by outcome")
_RECONNECTS = counter("sba.ws.stream_reconnects", description="Lost connections to the streams")

Live = Callable[[RunEvent], None]
Doubt = Callable[[str | None], None]

RETRY_AFTER = 0.25
"""Seconds until a stream whose end could not be found is tried again."""

TURN = 32
"""Entries handled before other tasks get their turn."""


class Reader(Protocol):
    """What is needed of `sba_resilience.redis.StreamReader`."""

    async def add(self, key: str, from_id: str = "$") -> None:
        """Follow one more stream from its end."""

    def remove(self, key: str) -> None:
        """Follow one fewer."""

    def follow(self, positions: Mapping[str, str] | None = None) -> AsyncIterator[StreamEntry | Reconnected]:
        """Entries as they come."""


def _ignore(_: object) -> None:
    """Nobody listens yet."""


class ShardFollower:
    """Turns stream entries into events, and every moment that may have lost some into a doubt.

    Nobody waits for Redis: a stream that cannot be followed now is followed when it can be, and then doubted,
    so that its listeners read from the table what they missed.

    Args:
        reader: Reads the streams.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._live: Live = _ignore
        self._doubt: Doubt = _ignore
        self._holds: Counter[str] = Counter()
        self._followed: set[str] = set()
        self._changed = asyncio.Event()

    def hold(self, key: str) -> None:
        """Read this stream too; one more needs it."""
        self._holds[key] += 1
        self._changed.set()

    def release(self, key: str) -> None:
        """One fewer needs it."""
        self._holds[key] -= 1
        if self._holds[key] <= 0:
            del self._holds[key]
            self._followed.discard(key)
            self._reader.remove(key)

    async def run(self, *, live: Live, doubt: Doubt) -> None:
        """Follow until cancelled.

        Args:
            live: Called with each event.
            doubt: Called with a stream's key, or None for all, when events may have been missed.
        """
        self._live, self._doubt = live, doubt
        self._start_over()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._keep_adding())

    async def _follow(self) -> None:
        turn = 0
        async for entry in self._reader.follow():
            if isinstance(entry, Reconnected):
                _RECONNECTS.add(1)
                self._start_over()
                continue
            self._take(entry)
            turn += 1
            if turn % TURN == 0:
                await asyncio.sleep(0)

    def _start_over(self) -> None:
        self._followed.clear()
        self._changed.set()
        self._doubt(None)

    def _take(self, entry: StreamEntry) -> None:
        try:
            event = decode(entry.fields)
        except (MalformedEvent, RecursionError):
            event = None
        if event is None or stream_key(event.tenant_id) != entry.key:
            _CARRIED.add(1, {"outcome": "malformed"})
            _log.warning("stream_entry_malformed", stream=entry.key, entry=entry.entry_id)
            return
        _CARRIED.add(1, {"outcome": "event"})
        self._live(event)

    async def _keep_adding(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._add_missing():
                await asyncio.sleep(RETRY_AFTER)
                self._changed.set()

    async def _add_missing(self) -> bool:
        for key in tuple(self._holds.keys() - self._followed):
            try:
                await self._reader.add(key)
            except (RedisError, TimeoutError):
                return False
            self._added(key)
        return True

    def _added(self, key: str) -> None:
        if key in self._holds:
            self._followed.add(key)
            self._doubt(key)
        else:
            self._reader.remove(key)
