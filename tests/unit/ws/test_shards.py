"""Streams are read while someone needs them, and everything that may be missed is doubted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sba_agents.events import FIELD, RunEvent, encode, stream_key
from sba_resilience.redis import Reconnected, RedisUnavailable, StreamEntry
from sba_ws import shards
from sba_ws.shards import ShardFollower

TENANT = UUID(int=1)
KEY = stream_key(TENANT)


class Stream:
    """A reader whose entries and failures the test decides."""

    def __init__(self) -> None:
        self.following: list[str] = []
        self.adds = 0
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.entries: asyncio.Queue[StreamEntry | Reconnected] = asyncio.Queue()

    async def add(self, key: str, from_id: str = "$") -> None:
        self.adds += 1
        await self.gate.wait()
        if self.down:
            raise RedisUnavailable("refused")
        self.following.append(key)

    def remove(self, key: str) -> None:
        self.following = [known for known in self.following if known != key]

    async def follow(
        self, positions: Mapping[str, str] | None = None
    ) -> AsyncIterator[StreamEntry | Reconnected]:
        while True:
            yield await self.entries.get()

    def carry(self, payload: bytes, key: str = KEY) -> None:
        self.entries.put_nowait(StreamEntry(key, "1-1", {FIELD.encode(): payload}))


class Listener:
    def __init__(self) -> None:
        self.events: list[int] = []
        self.doubts: list[str | None] = []


@asynccontextmanager
async def following() -> AsyncIterator[tuple[ShardFollower, Stream, Listener]]:
    stream, listener = Stream(), Listener()
    follower = ShardFollower(stream)
    running = asyncio.create_task(
        follower.run(live=lambda event: listener.events.append(event.seq), doubt=listener.doubts.append)
    )
    try:
        yield follower, stream, listener
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def event(seq: int, tenant: UUID = TENANT) -> bytes:
    return encode(RunEvent(tenant, uuid4(), seq, "step.finished", {}, datetime.now(UTC)))


async def test_a_stream_is_followed_once_and_let_go_with_its_last_holder() -> None:
    async with following() as (follower, stream, listener):
        follower.hold(KEY)
        follower.hold(KEY)
        await settled()
        assert stream.following == [KEY]
        assert listener.doubts == [None, KEY]
        follower.release(KEY)
        assert stream.following == [KEY]
        follower.release(KEY)
        assert stream.following == []


async def test_events_pass_and_everything_else_is_dropped() -> None:
    async with following() as (_, stream, listener):
        for payload in (event(1), b"{", b"[" * 100_000, event(9, UUID(int=2)), event(2)):
            stream.carry(payload)
        await settled()
        assert listener.events == [1, 2]


async def test_a_lost_connection_is_doubted_and_every_stream_followed_anew() -> None:
    async with following() as (follower, stream, listener):
        follower.hold(KEY)
        await settled()
        stream.entries.put_nowait(Reconnected(1))
        await settled()
        assert listener.doubts == [None, KEY, None, KEY]
        assert stream.adds == 2


async def test_a_stream_that_cannot_be_followed_now_is_followed_later(monkeypatch) -> None:
    monkeypatch.setattr(shards, "RETRY_AFTER", 0.001)
    async with following() as (follower, stream, listener):
        stream.down = True
        follower.hold(KEY)
        while stream.adds < 3:  # noqa: ASYNC110 - the task under test has no event to wait on
            await asyncio.sleep(0)
        assert listener.doubts == [None]
        stream.down = False
        while KEY not in listener.doubts:  # noqa: ASYNC110 - the task under test has no event to wait on
            await asyncio.sleep(0)
        assert stream.following == [KEY]


async def test_a_stream_let_go_while_it_is_being_added_is_not_kept() -> None:
    async with following() as (follower, stream, listener):
        stream.gate.clear()
        follower.hold(KEY)
        await settled()
        follower.release(KEY)
        stream.gate.set()
        await settled()
        assert stream.following == []
        assert KEY not in listener.doubts


async def test_a_busy_stream_gives_others_their_turn() -> None:
    async with following() as (_, stream, listener):
        for seq in range(shards.TURN * 3):
            stream.carry(event(seq + 1))
        await asyncio.sleep(0)
        seen = len(listener.events)
        await settled()
        assert seen < len(listener.events) == shards.TURN * 3
