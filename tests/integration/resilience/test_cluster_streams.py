"""Following streams and watching keys in every slot of a cluster."""

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
from tests.integration.resilience.cluster_servers import KEYS, Cluster
from tests.integration.resilience.faults import eventually, works


@pytest.fixture
async def redis(cluster: Cluster) -> AsyncIterator[RedisClient]:
    await eventually(cluster.settled, within=20)
    for primary in cluster.primaries:
        primary.ask("FLUSHALL")
    async with open_redis(RedisSettings(cluster.url, command_timeout=2.0)) as client:
        yield client


class Follower:
    """Collects what a reader yields, in the background."""

    def __init__(self, reader: StreamReader, positions: dict[str, str] | None = None) -> None:
        self.seen: list[StreamEntry | Reconnected] = []
        self.task = asyncio.ensure_future(self._follow(reader, positions))

    async def _follow(self, reader: StreamReader, positions: dict[str, str] | None) -> None:
        async for item in reader.follow(positions):
            self.seen.append(item)

    def numbers(self, key: str) -> list[int]:
        return [int(e.fields[b"n"]) for e in self.seen if isinstance(e, StreamEntry) and e.key == key]

    @property
    def reconnected(self) -> bool:
        return any(isinstance(item, Reconnected) for item in self.seen)


@pytest.fixture
async def reader(redis: RedisClient) -> AsyncIterator[StreamReader]:
    made = redis.stream_reader(block=0.3)
    yield made
    await made.aclose()


async def add(redis: RedisClient, key: str, *numbers: int) -> None:
    for number in numbers:
        await redis.execute("XADD", key, "*", "n", number)


async def test_streams_of_all_primaries_are_followed_in_order(
    redis: RedisClient, reader: StreamReader, cluster: Cluster
) -> None:
    for key in KEYS:
        await add(redis, key, 1)
    follower = Follower(reader, dict.fromkeys(KEYS, "0"))
    for key in KEYS:
        await add(redis, key, 2, 3)
    await eventually(lambda: all(follower.numbers(key) == [1, 2, 3] for key in KEYS))
    assert not follower.reconnected
    assert len({cluster.primary_of(key).port for key in KEYS}) == 3
    ends = {key: (await redis.execute("XREVRANGE", key, "+", "-", "COUNT", 1))[0][0].decode() for key in KEYS}
    assert reader.positions == ends


async def test_the_end_of_a_stream_is_fixed_before_add_returns(
    redis: RedisClient, reader: StreamReader
) -> None:
    await add(redis, "old", 1)
    follower = Follower(reader)
    await reader.add("old")
    await reader.add("not-yet")
    await add(redis, "old", 2)
    await add(redis, "not-yet", 3)
    await eventually(lambda: (follower.numbers("old"), follower.numbers("not-yet")) == ([2], [3]))


async def test_more_entries_than_one_read_takes_all_come(redis: RedisClient, reader: StreamReader) -> None:
    await asyncio.gather(*(redis.execute("XADD", "k", "*", "n", number) for number in range(1500)))
    follower = Follower(reader, {"k": "0"})
    await eventually(lambda: len(follower.numbers("k")) == 1500)
    assert follower.numbers("k") == list(range(1500))


async def test_a_removed_stream_is_not_followed_until_it_is_added_again(
    redis: RedisClient, reader: StreamReader
) -> None:
    follower = Follower(reader, {"a": "0", "b": "0"})
    await add(redis, "a", 1)
    await eventually(lambda: follower.numbers("a") == [1])
    reader.remove("a")
    reader.remove("a")
    await add(redis, "a", 2)
    await add(redis, "b", 3)
    await eventually(lambda: follower.numbers("b") == [3])
    assert follower.numbers("a") == [1]
    await reader.add("a", "0")
    await eventually(lambda: follower.numbers("a") == [1, 1, 2])
    assert set(reader.positions) == {"a", "b"}


async def test_entries_read_but_not_handed_out_are_dropped_with_their_stream(
    redis: RedisClient, reader: StreamReader
) -> None:
    await add(redis, "a", *range(20))
    following = reader.follow({"a": "0"})
    assert isinstance(await anext(following), StreamEntry)
    await eventually(lambda: not reader._items.empty())
    reader.remove("a")
    await reader.add("b", "0")
    await add(redis, "b", 7)
    entry = await anext(following)
    assert isinstance(entry, StreamEntry)
    assert (entry.key, entry.fields) == ("b", {b"n": b"7"})
    await following.aclose()


async def test_following_again_goes_on_where_it_stopped(redis: RedisClient, reader: StreamReader) -> None:
    await add(redis, "a", *range(10))
    async for entry in reader.follow({"a": "0"}):
        assert isinstance(entry, StreamEntry)
        if entry.fields == {b"n": b"4"}:
            break
    follower = Follower(reader)
    await eventually(lambda: follower.numbers("a") == [5, 6, 7, 8, 9])


async def test_what_is_not_a_stream_ends_following(redis: RedisClient, reader: StreamReader) -> None:
    await redis.execute("SET", "text", "1")
    follower = Follower(reader, {"text": "0"})
    with pytest.raises(RedisCommandError) as caught:
        await follower.task
    assert caught.value.code == "WRONGTYPE"


async def test_closing_ends_following(redis: RedisClient, reader: StreamReader, cluster: Cluster) -> None:
    follower = Follower(reader, {"a": "0"})
    await add(redis, "a", 1)
    await eventually(lambda: follower.numbers("a") == [1])
    await reader.aclose()
    async with asyncio.timeout(10):
        await follower.task


async def test_a_flushed_stream_that_begins_again_is_followed(
    redis: RedisClient, reader: StreamReader, cluster: Cluster
) -> None:
    follower = Follower(reader, {"a": "0"})
    await add(redis, "a", 1)
    await eventually(lambda: follower.numbers("a") == [1])
    cluster.primary_of("a").ask("FLUSHALL")
    await add(redis, "a", 2)
    await eventually(lambda: follower.numbers("a") == [1, 2])


async def test_a_stream_that_moves_is_followed_where_it_goes(
    redis: RedisClient, reader: StreamReader, cluster: Cluster
) -> None:
    source, target = cluster.primaries[:2]
    key = cluster.key_at(source)
    slot = source.ask("CLUSTER", "KEYSLOT", key)
    follower = Follower(reader, {key: "0"})
    await add(redis, key, 1)
    await eventually(lambda: follower.numbers(key) == [1])
    await redis.execute("DEL", key)
    cluster.move(slot, source=source, target=target)
    try:
        await add(redis, key, 2)
        await eventually(lambda: follower.numbers(key) == [1, 2])
        assert follower.reconnected
        await redis.execute("DEL", key)
    finally:
        cluster.move(slot, source=target, target=source)
    await add(redis, key, 3)
    await eventually(lambda: follower.numbers(key) == [1, 2, 3])


async def test_a_stream_on_the_move_is_followed_once_it_has_arrived(
    redis: RedisClient, reader: StreamReader, cluster: Cluster
) -> None:
    source, target = cluster.primaries[:2]
    key = cluster.key_at(source)
    slot = source.ask("CLUSTER", "KEYSLOT", key)
    cluster.begin_move(slot, source=source, target=target)
    try:
        follower = Follower(reader, {key: "0"})
        await add(redis, key, 1)
        cluster.end_move(slot, source=source, target=target)
        await eventually(lambda: follower.numbers(key) == [1])
        await redis.execute("DEL", key)
    finally:
        cluster.end_move(slot, source=source, target=target)
        cluster.move(slot, source=target, target=source)


async def test_a_lost_connection_is_told_and_made_anew(
    redis: RedisClient, reader: StreamReader, cluster: Cluster
) -> None:
    follower = Follower(reader, dict.fromkeys(KEYS, "0"))
    await add(redis, KEYS[0], 1)
    await eventually(lambda: follower.numbers(KEYS[0]) == [1])
    cluster.primary_of(KEYS[0]).ask("CLIENT", "KILL", "TYPE", "NORMAL")
    await eventually(lambda: follower.reconnected)
    await eventually(lambda: works(redis, "{" + KEYS[0] + "}"))
    await add(redis, KEYS[0], 2)
    await eventually(lambda: follower.numbers(KEYS[0]) == [1, 2])


async def test_streams_cannot_be_followed_where_tracking_is_forbidden(cluster: Cluster) -> None:
    for member in cluster.members:
        member.ask("ACL", "SETUSER", "plain", "on", ">plain", "allkeys", "+@all", "-client|tracking")
    url = f"redis+cluster://plain:plain@{cluster.url.partition('@')[2]}"
    async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
        reader = redis.stream_reader()
        with pytest.raises(RedisCommandError) as caught:
            await Follower(reader, {"a": "0"}).task
        assert caught.value.code == "NOPERM"
        watch = redis.watch("a", lambda _: None)
        with pytest.raises(RedisUnavailable, match="unsupported"):
            await watch.ready()


async def test_a_watch_hears_of_keys_on_all_primaries(redis: RedisClient) -> None:
    heard: set[str] = set()
    watch = redis.watch("k", heard.add)
    await watch.ready()
    epoch = watch.epoch
    await asyncio.gather(*(redis.execute("SET", key, 1) for key in KEYS))
    await eventually(lambda: heard == set(KEYS))
    assert watch.epoch == epoch
    assert watch.live_until > watch.clock()
    watch.close()
    with pytest.raises(RedisUnavailable, match="closed"):
        await watch.ready()


async def test_streams_and_watches_survive_a_failover(
    redis: RedisClient, reader: StreamReader, cluster: Cluster
) -> None:
    victim = cluster.primaries[1]
    key = cluster.key_at(victim)
    others = [k for k in KEYS if cluster.primary_of(k) is not victim]
    heard: list[str] = []
    watch = redis.watch("watched:", heard.append)
    await watch.ready()
    epoch = watch.epoch
    follower = Follower(reader, dict.fromkeys(KEYS, "0"))
    await add(redis, key, 1)
    await eventually(lambda: follower.numbers(key) == [1])
    with cluster.without(victim):
        await eventually(lambda: watch.live_until < watch.clock())
        await add(redis, others[0], 5)
        await eventually(lambda: follower.numbers(others[0]) == [5])
        await eventually(lambda: works(redis, f"{{{key}}}x"), within=20)
        await watch.ready()
        assert watch.epoch > epoch
        await redis.execute("SET", f"watched:{{{key}}}", 1)
        await eventually(lambda: heard == [f"watched:{{{key}}}"])
        await add(redis, key, 2)
        await eventually(lambda: follower.numbers(key)[-1:] == [2], within=20)
        assert follower.reconnected
