"""What a client does with a server that breaks the protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis
import pytest

from sba_resilience.redis import RedisSettings, RedisUnavailable, open_redis

TURNS = 5


@asynccontextmanager
async def serving(*, greets: bool, then: bytes = b"") -> AsyncIterator[str]:
    """The URL of a server that answers a greeting properly and whatever follows with the given bytes."""
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            words = sum(data.count(b"%b\r\n" % word) for word in (b"CLIENT", b"PING", b"TIME", b"INFO"))
            writer.write(b"+OK\r\n" * words if words and greets else then)
        writer.close()
        await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.ensure_future(talk(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await asyncio.gather(*talks, return_exceptions=True)


@asynccontextmanager
async def answering_slowly() -> AsyncIterator[str]:
    """The URL of a server that takes `TURNS` turns of the event loop for every GET."""
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        with contextlib.closing(writer.transport):
            while data := await reader.read(4096):
                parser.feed(data)
                while words := parser.gets():
                    for _ in range(TURNS if words[0] == b"GET" else 0):
                        await asyncio.sleep(0)
                    writer.write(b"$1\r\nx\r\n" if words[0] == b"GET" else b"+OK\r\n")

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.ensure_future(talk(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task in talks:
        task.cancel()
    await asyncio.gather(*talks, return_exceptions=True)
    await asyncio.sleep(0)  # lets the event loop close the sockets


async def test_a_reply_that_is_not_the_protocol_ends_the_connection() -> None:
    async with (
        serving(greets=True, then=b"HTTP/1.1 400 Bad Request\r\n") as url,
        open_redis(RedisSettings(url, command_timeout=2.0)) as redis,
    ):
        with pytest.raises(RedisUnavailable, match="lost"):
            await redis.execute("GET", "k")
        assert redis._lane is None
        await redis.ping()


async def test_a_reply_too_many_ends_the_connection() -> None:
    async with (
        serving(greets=True, then=b"+one\r\n+one too many\r\n") as url,
        open_redis(RedisSettings(url, command_timeout=2.0)) as redis,
    ):
        assert await redis.execute("GET", "k") == b"one"
        assert redis._lane is None
        await redis.ping()


async def test_a_server_that_never_greets_is_a_timeout_and_not_a_wait() -> None:
    async with serving(greets=False) as url, open_redis(RedisSettings(url, connect_timeout=0.1)) as redis:
        with pytest.raises(RedisUnavailable, match="timeout"):
            await redis.ping()


async def test_a_server_that_does_not_speak_resp3_cannot_be_watched() -> None:
    async with serving(greets=True, then=b"+OK\r\n+OK\r\n") as url, open_redis(RedisSettings(url)) as redis:
        with pytest.raises(RedisUnavailable, match="unsupported"):
            await redis.watch("w:", lambda _: None).ready()


async def test_a_command_on_a_connection_that_has_ended_fails_at_once() -> None:
    async with serving(greets=True) as url, open_redis(RedisSettings(url)) as redis:
        lane = await redis.open_lane(timeout=1.0)
        lane.fail("lost")
        with pytest.raises(RedisUnavailable, match="lost"):
            await lane.send(b"PING\r\n")


async def test_a_server_that_goes_on_answering_too_slowly_holds_nobody_beyond_the_limit() -> None:
    async with answering_slowly() as url, open_redis(RedisSettings(url)) as redis:
        asked = (redis.execute("GET", "k") for _ in range(3000))
        verdicts = await asyncio.gather(*asked, return_exceptions=True)
        assert str(verdicts[-1]) == "redis unavailable: timeout"
        assert verdicts[0] == b"x"
        assert redis._lane is None
