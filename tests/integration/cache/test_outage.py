"""Redis away, full or refusing: the loader answers, a few at a time, and nothing is mistaken for a miss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sba_cache import MISSING, Cache, CacheKey, CacheSettings, NotCacheable
from sba_resilience import BulkheadFull, RedisUnavailable
from sba_resilience.redis import RedisSettings, open_redis
from tests.integration.cache.answers import KEY, Answer, Loader, Time
from tests.integration.resilience.faults import Server, eventually

Counted = Callable[[], dict[str, int]]


async def test_without_redis_the_loader_answers_and_an_error_is_counted(
    server: Server, counted: Counted
) -> None:
    time = Time()
    async with open_redis(RedisSettings(server.url)) as redis:
        cache, loader = Cache(redis, clock=time), Loader()
        server.kill()
        for n in range(1, 9):
            assert await cache.get_or_load(KEY, loader, type=Answer) == Answer("loaded", n)
            time.now += 1.1
        assert counted() == {"error": 8}
        with pytest.raises(RedisUnavailable):
            await cache.invalidate("t", "knowledge")
        with pytest.raises(RedisUnavailable):
            await cache.set(KEY, Answer("set", 1), type=Answer)
        with pytest.raises(RedisUnavailable):
            await cache.delete(KEY)
        assert await cache.get(KEY, Answer) is MISSING


async def test_without_redis_an_answer_is_believed_for_the_window(server: Server, counted: Counted) -> None:
    time = Time()
    async with open_redis(RedisSettings(server.url)) as redis:
        cache, loader = Cache(redis, clock=time), Loader()
        server.kill()
        for _ in range(50):
            assert await cache.get_or_load(KEY, loader, type=Answer) == Answer("loaded", 1)
            time.now += 0.01
        assert counted() == {"error": 1, "hit_l1": 49}


async def test_what_an_invalidation_is_owed_for_is_not_even_believed_for_the_window(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        cache, loader = Cache(redis), Loader()
        server.kill()
        await cache.get_or_load(KEY, loader, type=Answer)
        with pytest.raises(RedisUnavailable):
            await cache.invalidate("t", "knowledge")
        for _ in range(3):
            await cache.get_or_load(KEY, loader, type=Answer)
        assert loader.calls == 4


async def test_loads_are_few_at_a_time_while_redis_is_away(server: Server) -> None:
    running = most = 0

    async def load() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return 1

    async with open_redis(RedisSettings(server.url)) as redis:
        cache = Cache(redis, CacheSettings(outage_loads=3, outage_queue=100))
        server.kill()
        keys = [CacheKey("t", "knowledge", n) for n in range(60)]
        assert sum(await asyncio.gather(*(cache.get_or_load(key, load, type=int) for key in keys))) == 60
    assert most == 3


async def test_more_than_may_wait_are_refused(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        cache = Cache(redis, CacheSettings(outage_loads=1, outage_queue=1))
        server.kill()
        loader = Loader(gate := asyncio.Event())
        keys = [CacheKey("t", "knowledge", n) for n in range(3)]
        calls = [asyncio.ensure_future(cache.get_or_load(key, loader, type=Answer)) for key in keys]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Answer", "Answer", "BulkheadFull"]
        assert any(isinstance(outcome, BulkheadFull) for outcome in outcomes)


async def test_concurrent_callers_share_one_load_without_redis_too(server: Server, counted: Counted) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        cache = Cache(redis)
        server.kill()
        loader = Loader(gate := asyncio.Event())
        calls = [asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer)) for _ in range(20)]
        await eventually(lambda: counted().get("error") == 20)
        gate.set()
        await asyncio.gather(*calls)
        assert loader.calls == 1


async def test_a_value_without_encoding_is_refused_whether_or_not_redis_is_there(server: Server) -> None:
    async def wrong() -> str:
        return "seven"

    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        with pytest.raises(NotCacheable):
            await Cache(redis).get_or_load(KEY, wrong, type=int)


async def test_a_value_that_cannot_be_kept_is_still_the_answer(server: Server, counted: Counted) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        cache = Cache(redis)
        await cache.invalidate("t", "knowledge")
        await cache.get_or_load(CacheKey("t", "knowledge", "other"), Loader(), type=Answer)
        await redis.execute("CONFIG", "SET", "maxmemory", 1)
        assert await cache.get_or_load(KEY, Loader(), type=Answer) == Answer("loaded", 1)
        assert counted() == {"miss": 2, "unsaved": 1}


async def test_a_value_whose_store_fails_is_still_the_answer(server: Server, counted: Counted) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        cache, loader = Cache(redis), Loader(gate := asyncio.Event())
        asking = asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer))
        await eventually(lambda: loader.calls == 1)
        server.kill()
        gate.set()
        assert await asking == Answer("loaded", 1)
        assert counted() == {"miss": 1, "unsaved": 1}


async def test_a_loader_that_fails_while_redis_dies_fails_as_itself(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        cache, loader = Cache(redis), Loader(gate := asyncio.Event())
        loader.error = RedisUnavailable("timeout", "of the loader's own")
        asking = asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer))
        await eventually(lambda: loader.calls == 1)
        server.kill()
        gate.set()
        with pytest.raises(RedisUnavailable, match="of the loader's own"):
            await asking
        assert loader.calls == 1


async def test_everything_is_as_before_once_redis_is_back(server: Server, counted: Counted) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=1.0)) as redis:
        cache, loader = Cache(redis, CacheSettings(l1_bytes=0)), Loader()
        server.kill()
        await cache.get_or_load(KEY, loader, type=Answer)
        server.start()

        async def hits() -> bool:
            await cache.get_or_load(KEY, loader, type=Answer)
            return "hit_l2" in counted()

        await eventually(hits)


async def test_the_servers_time_is_asked_for_when_it_is_not_known(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        cache, loader = Cache(redis, CacheSettings(l1_bytes=0), now=lambda: None), Loader()
        for _ in range(2):
            await cache.get_or_load(KEY, loader, ttl=600.0, type=Answer)
        assert await redis.execute("EXISTS", KEY.redis_key) == 1
