"""Following streams through additions, removals and lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sba_resilience.redis import (
    Reconnected,
    RedisClient,
    RedisCommandError,
    RedisSettings,
    RedisUnavailable,
    StreamEntry,
    StreamReader,
    open_redis,
)
from tests.integration.resilience.faults import Server, eventually


@pytest.fixture
async def reader(redis: RedisClient) -> AsyncIterator[StreamReader]:
    made = redis.stream_reader()
    yield made
    await made.aclose()


class Follower:
    """Collects what a reader yields, in the background."""

    def __init__(self, reader: StreamReader, positions: dict[str, str] | None = None) -> None:
        self.seen: list[StreamEntry | Reconnected] = []
        self._task = asyncio.ensure_future(self._follow(reader, positions))

    async def _follow(self, reader: StreamReader, positions: dict[str, str] | None) -> None:
        async for item in reader.follow(positions):
            self.seen.append(item)

    @property
    def numbers(self) -> list[int]:
        return [int(item.fields[b"n"]) for item in self.seen if isinstance(item, StreamEntry)]

    async def has(self, *numbers: int) -> None:
        await eventually(lambda: self.numbers == list(numbers))

    async def ends(self) -> None:
        async with asyncio.timeout(10):
            await self._task


async def add(redis: RedisClient, key: str, *numbers: int) -> None:
    for n in numbers:
        await redis.execute("XADD", key, "*", "n", n)


async def test_entries_come_in_order_from_a_position(redis: RedisClient, reader: StreamReader) -> None:
    await add(redis, "s", 1)
    first = str((await redis.execute("XRANGE", "s", "-", "+"))[0][0], "ascii")
    await add(redis, "s", 2, 3)
    follower = Follower(reader, {"s": first})
    await follower.has(2, 3)
    await add(redis, "s", 4)
    await follower.has(2, 3, 4)
    entry = follower.seen[0]
    assert isinstance(entry, StreamEntry)
    assert (entry.key, entry.fields) == ("s", {b"n": b"2"})
    assert reader.positions["s"] > first


async def test_the_end_of_a_stream_is_fixed_before_add_returns(
    redis: RedisClient, reader: StreamReader
) -> None:
    await add(redis, "old", 1)
    follower = Follower(reader)
    await reader.add("old")
    await reader.add("not-yet")
    await add(redis, "old", 2)
    await add(redis, "not-yet", 3)
    await eventually(lambda: sorted(follower.numbers) == [2, 3])


async def test_a_stream_added_during_a_blocking_read_is_read_at_once(redis: RedisClient) -> None:
    reader = redis.stream_reader(block=60)
    follower = Follower(reader, {"quiet": "0"})
    await eventually(lambda: _is_blocked(redis))
    await reader.add("late", "0")
    await add(redis, "late", 7)
    await follower.has(7)
    await reader.aclose()
    await follower.ends()


async def _is_blocked(redis: RedisClient) -> bool:
    return b"blocked_clients:1" in await redis.execute("INFO", "clients")


async def test_a_removed_stream_is_heard_no_more(redis: RedisClient, reader: StreamReader) -> None:
    follower = Follower(reader, {"a": "0", "b": "0"})
    await add(redis, "a", 1)
    await follower.has(1)
    reader.remove("a")
    await add(redis, "a", 2)
    await add(redis, "b", 3)
    await follower.has(1, 3)
    assert set(reader.positions) == {"b"}


async def test_a_stream_removed_while_its_entries_wait_is_not_handed_out(
    redis: RedisClient, reader: StreamReader
) -> None:
    await add(redis, "s", 1, 2, 3)
    following = reader.follow({"s": "0"})
    first = await anext(following)
    assert isinstance(first, StreamEntry)
    reader.remove("s")
    await reader.add("other", "0")
    await add(redis, "other", 9)
    second = await anext(following)
    assert isinstance(second, StreamEntry)
    assert second.fields == {b"n": b"9"}


async def test_a_lost_connection_is_announced_and_nothing_is_lost_or_repeated(
    redis: RedisClient, reader: StreamReader
) -> None:
    follower = Follower(reader, {"s": "0"})
    for n in range(1, 6):
        await add(redis, "s", n)
        await follower.has(*range(1, n + 1))
        await redis.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await add(redis, "gap", n)
        await eventually(lambda n=n: sum(isinstance(item, Reconnected) for item in follower.seen) == n)


async def test_a_restarted_server_is_followed_again(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        reader = redis.stream_reader()
        follower = Follower(reader, {"s": "0"})
        await add(redis, "s", 1)
        await follower.has(1)
        server.kill()
        server.start()
        await eventually(lambda: any(isinstance(item, Reconnected) for item in follower.seen))
        await eventually(lambda: redis.state == "closed" and _answering(redis))
        await add(redis, "s", 2)
        await follower.has(1, 2)
        await reader.aclose()


async def _answering(redis: RedisClient) -> bool:
    try:
        await redis.ping()
    except RedisUnavailable:
        return False
    return True


async def test_a_frozen_server_is_noticed_by_the_reader(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, connect_timeout=0.2)) as redis:
        reader = redis.stream_reader(block=0.05)
        follower = Follower(reader, {"s": "0"})
        await add(redis, "s", 1)
        await follower.has(1)
        with server.frozen():
            await eventually(lambda: reader._lane is None or reader._lane.closed)
        await eventually(lambda: any(isinstance(item, Reconnected) for item in follower.seen))
        await reader.aclose()


async def test_a_reader_counts_as_a_connection(redis_url: str) -> None:
    settings = RedisSettings(redis_url, max_connections=2, command_timeout=2.0)
    async with open_redis(settings) as redis:
        first = redis.stream_reader()
        follower = Follower(first, {"s": "0"})
        await add(redis, "s", 1)
        await follower.has(1)
        with pytest.raises(RedisUnavailable, match="busy"):
            await redis.open_lane(timeout=1)
        await first.aclose()
        (await redis.open_lane(timeout=1)).fail("closed")


async def test_a_key_that_is_no_stream_is_the_followers_error(
    redis: RedisClient, reader: StreamReader
) -> None:
    await redis.execute("SET", "text", "x")
    with pytest.raises(RedisCommandError, match="WRONGTYPE"):
        await anext(reader.follow({"text": "0"}))


async def test_a_server_without_unblock_is_followed_all_the_same(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        await redis.execute("ACL", "SETUSER", "default", "-client|id", "-client|unblock")
        reader = redis.stream_reader(block=0.2)
        follower = Follower(reader, {"quiet": "0"})
        await eventually(lambda: _is_blocked(redis))
        await reader.add("late", "0")
        await add(redis, "late", 7)
        await follower.has(7)
        await reader.aclose()


async def test_a_connection_is_always_left_for_commands(redis_url: str) -> None:
    async with open_redis(RedisSettings(redis_url, max_connections=3, command_timeout=2.0)) as redis:
        opened = await asyncio.gather(*(redis.open_lane(timeout=1) for _ in range(9)), return_exceptions=True)
        lanes = [lane for lane in opened if not isinstance(lane, BaseException)]
        assert len(lanes) == 2
        await redis.ping()


async def test_closing_ends_the_following(redis: RedisClient) -> None:
    reader = redis.stream_reader()
    idle, busy = Follower(redis.stream_reader()), Follower(reader, {"s": "0"})
    await add(redis, "s", 1)
    await busy.has(1)
    await reader.aclose()
    await busy.ends()
    assert idle.seen == []
    idle._task.cancel()


async def test_a_reader_ends_with_its_client(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        reader = redis.stream_reader()
        await reader.add("s", "0")
        following = asyncio.ensure_future(_all_of(reader))
        await redis.execute("XADD", "s", "*", "n", 1)
        await eventually(lambda: reader.positions["s"] != "0")
    async with asyncio.timeout(10):
        assert len(await following) >= 1


async def _all_of(reader: StreamReader) -> list[object]:
    return [item async for item in reader.follow()]
