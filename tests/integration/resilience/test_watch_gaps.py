"""What a cache may trust: never a value that changed a heartbeat ago, whatever was cut in between."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, open_redis, watch
from sba_resilience.redis.server import ServerClient
from tests.integration.resilience.faults import Server, eventually


class Cache:
    """The smallest reader that trusts a watch."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._watch = redis.watch("w:", self._changed)
        self._held: dict[str, tuple[int, bytes | None]] = {}
        self._generation = 0
        self.trusted = 0

    @property
    def until(self) -> float:
        return self._watch.live_until

    async def ready(self) -> None:
        await self._watch.ready()

    async def lost(self) -> None:
        """Wait until the connection of the watch is gone."""
        before = self._watch.epoch
        await eventually(lambda: self._watch.epoch != before)

    async def get(self, key: str) -> bytes | None:
        held = self._held.get(key)
        if held and held[0] == self._watch.epoch and self._watch.clock() < self._watch.live_until:
            self.trusted += 1
            return held[1]
        epoch, generation = self._watch.epoch, self._generation
        value: bytes | None = await self._redis.execute("GET", key)
        if generation == self._generation:
            self._held[key] = (epoch, value)
        return value

    def _changed(self, key: str) -> None:
        self._generation += 1
        self._held.pop(key, None)


async def heard_by_now(cache: Cache) -> None:
    """Wait for a heartbeat that was sent after this call."""
    now = time.monotonic()
    await eventually(lambda: cache.until > now + watch.LIVE_FOR)


async def kill_watches(redis: RedisClient) -> None:
    for line in str(await redis.execute("CLIENT", "LIST"), "utf-8").splitlines():
        fields = dict(word.partition("=")[::2] for word in line.split())
        if "B" in fields["flags"]:
            await redis.execute("CLIENT", "KILL", "ID", fields["id"])


@pytest.mark.parametrize("seed", range(4))
async def test_a_trusted_value_is_the_one_the_server_has(
    server: Server, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "BEAT_EVERY", 0.005)
    chance = random.Random(seed)
    settings = RedisSettings(server.url, command_timeout=5.0)
    async with open_redis(settings) as redis, open_redis(settings) as writer:
        cache = Cache(redis)
        await cache.ready()
        for round_ in range(120):
            key = f"w:{chance.randrange(5)}"
            match chance.randrange(12):
                case 0:
                    await kill_watches(writer)
                    await cache.get(key)
                    await writer.execute("SET", key, round_)
                case 3:
                    await asyncio.gather(cache.lost(), kill_watches(writer))
                    await cache.get(key)
                    await writer.execute("SET", key, round_)
                case 1:
                    await writer.execute("FLUSHALL")
                case 2:
                    await writer.execute("DEL", key)
                case _:
                    reading = asyncio.ensure_future(cache.get(key))
                    await writer.execute("SET", key, round_)
                    await reading
            await heard_by_now(cache)
            assert await cache.get(key) == await writer.execute("GET", key)
            assert await cache.get(key) == await writer.execute("GET", key)
        assert cache.trusted > 60


class Door:
    """A port whose connections lead to whichever server it is pointed at."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self._talks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talk = asyncio.ensure_future(self._lead(reader, writer))
            self._talks.add(talk)
            talk.add_done_callback(self._talks.discard)

        listening = await asyncio.start_server(begin, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            listening.close()
            for talk in tuple(self._talks):
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await asyncio.wait(
                [asyncio.ensure_future(_copy(reader, forth)), asyncio.ensure_future(_copy(back, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            writer.transport.abort()
            forth.transport.abort()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    made = Door()
    async with made.open():
        yield made


async def two_servers(directory: Path) -> tuple[Server, Server]:
    servers = Server(directory / "one"), Server(directory / "two")
    for server in servers:
        server.start()
    return servers


async def cut(redis: RedisClient, server: Server) -> None:
    """End the connection for commands, and wait for the next one."""
    async with open_redis(RedisSettings(server.url, command_timeout=5.0)) as admin:
        await admin.execute("CLIENT", "KILL", "ID", await redis.execute("CLIENT", "ID"))
    while True:
        with contextlib.suppress(RedisUnavailable):
            return await redis.ping()


async def test_a_watch_follows_commands_to_another_server(tmp_path: Path, door: Door) -> None:
    one, two = await two_servers(tmp_path)
    door.target = one.engine.port
    url = one.url.replace(str(one.engine.port), str(door.port))
    async with open_redis(RedisSettings(url, command_timeout=5.0)) as redis:
        heard: list[str] = []
        watched = redis.watch("w:", heard.append)
        await watched.ready()
        before = watched.epoch
        await cut(redis, one)
        assert watched.epoch == before, "the same server: nothing was missed"
        door.target = two.engine.port
        await cut(redis, one)
        assert watched.epoch > before
        await watched.ready()
        await redis.execute("SET", "w:1", "1")
        await eventually(lambda: heard == ["w:1"])
    one.engine.stop()
    two.engine.stop()


async def test_commands_follow_the_watch_to_another_server(tmp_path: Path, door: Door) -> None:
    one, two = await two_servers(tmp_path)
    door.target = one.engine.port
    url = one.url.replace(str(one.engine.port), str(door.port))
    async with open_redis(RedisSettings(url, command_timeout=5.0)) as redis:
        assert isinstance(redis, ServerClient)
        await redis.execute("SET", "where", "one")
        door.target = two.engine.port
        watched = redis.watch("w:", lambda _: None)
        await watched.ready()
        assert await redis.execute("GET", "where") is None
        await watched.ready()
        assert redis.state == "closed"
    one.engine.stop()
    two.engine.stop()
