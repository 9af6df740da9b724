"""What is kept in the process: when it is believed, and within which bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sba_cache import Cache, CacheKey, CacheSettings, coherence
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.cache.answers import KEY, Answer, Loader, Time
from tests.integration.resilience.faults import Server, eventually

Counted = Callable[[], dict[str, int]]


async def hearing(cache: Cache) -> None:
    """Wait until the cache hears of changes."""
    await cache.get_or_load(CacheKey("t", "warm-up", "q"), Loader(), type=Answer)
    await eventually(lambda: cache._coherence.watch.live_until > 0)


async def commands(redis: RedisClient) -> int:
    """MGETs the server has answered."""
    stats = (await redis.execute("INFO", "commandstats")).decode()
    return int(stats.split("cmdstat_mget:calls=")[1].split(",")[0]) if "cmdstat_mget" in stats else 0


async def test_a_hit_in_the_process_asks_nobody(cache: Cache, redis: RedisClient, counted: Counted) -> None:
    await hearing(cache)
    loader = Loader()
    await cache.get_or_load(KEY, loader, type=Answer)
    before = await commands(redis)
    for _ in range(10):
        assert await cache.get_or_load(KEY, loader, type=Answer) == Answer("loaded", 1)
    assert await commands(redis) == before
    assert counted() == {"miss": 2, "hit_l1": 10}


async def test_a_change_on_another_node_is_heard_although_no_time_passes(
    redis_url: str, other: Cache
) -> None:
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as client:
        cache = Cache(client)
        await hearing(cache)
        key = CacheKey("t", "knowledge", "q")
        assert (await cache.get_or_load(key, Loader(text="old"), ttl=600.0, type=Answer)).text == "old"
        entry = cache._local.get(key)
        assert entry is not None
        await other.invalidate("t", "knowledge")
        await eventually(lambda: not cache._coherence.holds(entry.mark))
        assert (await cache.get_or_load(key, Loader(text="new"), type=Answer)).text == "new"


async def test_a_value_set_elsewhere_is_seen_and_its_neighbours_are_only_looked_at_again(
    cache: Cache, other: Cache
) -> None:
    await hearing(cache)
    neighbour, loader = CacheKey("t", "knowledge", "neighbour"), Loader(text="old")
    await cache.get_or_load(KEY, loader, ttl=600.0, type=Answer)
    await cache.get_or_load(neighbour, loader, ttl=600.0, type=Answer)
    entry = cache._local.get(KEY)
    assert entry is not None
    await other.set(KEY, Answer("set", 1), ttl=600.0, type=Answer)
    await eventually(lambda: not cache._coherence.holds(entry.mark))
    assert (await cache.get_or_load(KEY, loader, type=Answer)).text == "set"
    assert (await cache.get_or_load(neighbour, loader, type=Answer)).text == "old"
    assert loader.calls == 2


async def test_without_client_tracking_a_value_is_believed_for_the_window_alone(
    server: Server, counted: Counted
) -> None:
    time = Time()
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        await redis.execute("ACL", "SETUSER", "default", "-client|tracking")
        cache, loader = Cache(redis, clock=time, now=time), Loader()
        await cache.get_or_load(KEY, loader, ttl=600.0, type=Answer)
        time.now += 0.9
        await cache.get_or_load(KEY, loader, ttl=600.0, type=Answer)
        time.now += 0.2
        await cache.get_or_load(KEY, loader, ttl=600.0, type=Answer)
    assert counted() == {"miss": 1, "hit_l1": 1, "hit_l2": 1}


async def test_a_value_is_not_served_past_its_time_by_any_level(cache: Cache, redis: RedisClient) -> None:
    time = Time()
    caches = [Cache(redis, clock=time, now=time) for _ in range(2)]
    loader = Loader()
    for reader in caches:
        await reader.get_or_load(KEY, loader, ttl=10.0, type=Answer)
    time.now += 11.1
    assert await caches[0].get_or_load(KEY, loader, ttl=10.0, type=Answer) == Answer("loaded", 2)
    assert await caches[1].get_or_load(KEY, loader, ttl=10.0, type=Answer) == Answer("loaded", 2)


async def test_room_is_bounded_by_bytes_and_the_least_used_goes_first(redis: RedisClient) -> None:
    cache = Cache(redis, CacheSettings(l1_bytes=32_000))

    async def text() -> str:
        return "x" * 1000

    keys = [CacheKey("t", "knowledge", n) for n in range(30)]
    for key in keys:
        await cache.get_or_load(key, text, type=str)
        await cache.get_or_load(keys[0], text, type=str)
    assert cache._local._entries.current_size() <= 32_000
    kept = [key for key in keys if cache._local.get(key) is not None]
    assert kept == [keys[0], *keys[-len(kept) + 1 :]]
    assert len(kept) > 5


async def test_room_is_bounded_by_entries(redis: RedisClient) -> None:
    cache = Cache(redis, CacheSettings(l1_entries=5))
    for n in range(20):
        await cache.get_or_load(CacheKey("t", "knowledge", n), Loader(), type=Answer)
    assert len(cache._local._entries) == 5


async def test_a_value_too_large_for_the_process_is_read_from_redis(redis: RedisClient) -> None:
    cache = Cache(redis, CacheSettings(l1_bytes=4000))
    calls = 0

    async def text() -> str:
        nonlocal calls
        calls += 1
        return "x" * 2000

    for _ in range(3):
        assert len(await cache.get_or_load(KEY, text, type=str)) == 2000
    assert calls == 1
    assert len(cache._local._entries) == 0


async def test_a_scope_that_was_dropped_takes_its_values_with_it(
    cache: Cache, far: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coherence, "SCOPES", 2)
    loader = Loader()
    await cache.get_or_load(KEY, loader, type=Answer)
    entry = cache._local.get(KEY)
    assert entry is not None
    for n in range(3):
        await cache.get_or_load(CacheKey("t", f"other-{n}", "q"), Loader(), type=Answer)
    assert not cache._coherence.holds(entry.mark)
    assert len(cache._coherence._by_name) <= 5
    assert await cache.get_or_load(KEY, loader, type=Answer) == Answer("loaded", 1)


async def test_readers_hit_while_others_invalidate(cache: Cache, other: Cache) -> None:
    """Whatever the order, a value begun before an acknowledged change is not read after it, from Redis."""
    truth = 0

    async def load() -> int:
        seen = truth
        await asyncio.sleep(0)
        return seen

    for _ in range(100):
        truth += 1
        await cache.invalidate("t", "knowledge")
        at_least = truth
        reads = await asyncio.gather(*(cache.get_or_load(KEY, load, type=int) for _ in range(3)))
        assert min(reads) >= at_least
