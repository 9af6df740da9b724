"""Hits, misses, invalidation and shared loads on the real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import msgspec
import pytest

from sba_cache import Cache, CacheKey, NotCacheable
from sba_resilience import Deadline, DeadlineExceeded, RedisUnavailable
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.resilience.faults import Server, eventually

Counted = Callable[[], dict[str, int]]
KEY = CacheKey("t", "knowledge", "q", 1)


class Answer(msgspec.Struct):
    text: str
    at: int


class Loader:
    """Counts its calls; waits for a gate when it has one."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.calls = 0
        self.gate = gate

    async def __call__(self) -> Answer:
        self.calls += 1
        answer = Answer("loaded", self.calls)
        if self.gate is not None:
            await self.gate.wait()
        return answer


async def test_without_a_type_plain_data_is_kept(cache: Cache) -> None:
    calls: list[int] = []

    async def load() -> dict[str, list[int]]:
        calls.append(1)
        return {"found": [1, 2]}

    assert [await cache.get_or_load(KEY, load) for _ in range(2)] == [{"found": [1, 2]}] * 2
    assert len(calls) == 1


async def test_a_value_is_loaded_once_and_then_read(cache: Cache, counted: Counted) -> None:
    loader = Loader()
    for _ in range(3):
        assert await cache.get_or_load(KEY, loader, type=Answer) == Answer("loaded", 1)
    assert loader.calls == 1
    assert counted() == {"miss": 1, "hit": 2}


async def test_a_hit_is_one_command(redis: RedisClient, cache: Cache) -> None:
    async def calls() -> int:
        info = (await redis.execute("INFO", "stats")).decode()
        return int(info.split("total_commands_processed:")[1].split()[0])

    loader = Loader()
    await cache.get_or_load(KEY, loader, type=Answer)
    before = await calls()
    await cache.get_or_load(KEY, loader, type=Answer)
    assert await calls() - before == 2  # the read and this question


async def test_an_invalidation_is_one_command_and_reaches_every_key_of_the_namespace(
    redis: RedisClient, cache: Cache, counted: Counted
) -> None:
    keys = [CacheKey("t", "knowledge", n) for n in range(20)]
    for key in keys:
        await cache.get_or_load(key, Loader(), type=Answer)
    await redis.execute("CONFIG", "RESETSTAT")
    await cache.invalidate("t", "knowledge")
    stats = (await redis.execute("INFO", "commandstats")).decode()
    assert stats.count("cmdstat_") == 2, "the invalidation and CONFIG RESETSTAT"
    assert "cmdstat_set:calls=1," in stats
    for key in keys:
        await cache.get_or_load(key, Loader(), type=Answer)
    assert counted() == {"miss": 20, "stale": 20}


async def test_an_invalidation_touches_no_other_tenant_or_namespace(cache: Cache) -> None:
    others = [CacheKey("u", "knowledge", "q", 1), CacheKey("t", "tools", "q", 1)]
    for key in others:
        await cache.get_or_load(key, Loader(), type=Answer)
    await cache.invalidate("t", "knowledge")
    for key in others:
        again = Loader()
        await cache.get_or_load(key, again, type=Answer)
        assert again.calls == 0


async def test_a_load_begun_before_an_invalidation_never_becomes_visible(cache: Cache) -> None:
    await cache.invalidate("t", "knowledge")
    old = Loader(gate := asyncio.Event())
    early = asyncio.ensure_future(cache.get_or_load(KEY, old, type=Answer))
    await eventually(lambda: old.calls == 1)
    await cache.invalidate("t", "knowledge")
    fresh = Loader()
    assert await cache.get_or_load(KEY, fresh, type=Answer) == Answer("loaded", 1)
    assert fresh.calls == 1, "a caller after the invalidation joins no load from before"
    gate.set()
    await early
    after = Loader()
    await cache.get_or_load(KEY, after, type=Answer)
    assert after.calls == 1, "the late store of the old load left nothing to read"


async def test_the_same_holds_for_the_first_load_of_a_namespace(cache: Cache, redis: RedisClient) -> None:
    key = CacheKey(uuid4(), "new", "q")
    old = Loader(gate := asyncio.Event())
    early = asyncio.ensure_future(cache.get_or_load(key, old, type=Answer))
    await eventually(lambda: old.calls == 1)
    await cache.invalidate(key.tenant_id, "new")
    await redis.execute("DEL", key.version_key)  # even when the server then forgets the version
    gate.set()
    await early
    after = Loader()
    await cache.get_or_load(key, after, type=Answer)
    assert after.calls == 1


async def test_concurrent_first_readers_settle_on_one_version(redis_url: str) -> None:
    settings = RedisSettings(redis_url, command_timeout=2.0)
    async with open_redis(settings) as one, open_redis(settings) as other:
        caches = [Cache(one), Cache(other)]
        for n in range(30):
            key = CacheKey(uuid4(), "new", n)
            await asyncio.gather(*(cache.get_or_load(key, Loader(), type=Answer) for cache in caches))
            again = Loader()
            await caches[0].get_or_load(key, again, type=Answer)
            assert again.calls == 0


@pytest.mark.parametrize("version", ["short", ""])
async def test_a_damaged_version_is_replaced(redis: RedisClient, cache: Cache, version: str) -> None:
    await redis.execute("SET", KEY.version_key, version)
    loader = Loader()
    for _ in range(2):
        await cache.get_or_load(KEY, loader, type=Answer)
    assert loader.calls == 1


async def test_foreign_bytes_and_another_schema_are_counted_misses(
    redis: RedisClient, cache: Cache, counted: Counted
) -> None:
    await cache.get_or_load(KEY, Loader(), type=Answer)
    await redis.execute("SET", KEY.redis_key, b"\x80\x04\x95pickle")
    assert await cache.get_or_load(KEY, Loader(), type=Answer) == Answer("loaded", 1)

    async def number() -> int:
        return 7

    assert await cache.get_or_load(KEY, number, type=int) == 7
    assert counted() == {"miss": 1, "foreign": 2}


async def test_a_value_expires(redis: RedisClient, cache: Cache) -> None:
    await cache.get_or_load(KEY, Loader(), ttl=12.5, type=Answer)
    assert 10_000 < await redis.execute("PTTL", KEY.redis_key) <= 12_500
    assert await redis.execute("TTL", KEY.version_key) > 6 * 24 * 3600
    with pytest.raises(ValueError, match="ttl"):
        await cache.get_or_load(KEY, Loader(), ttl=0, type=Answer)


async def test_concurrent_callers_share_one_load(cache: Cache) -> None:
    loader = Loader(gate := asyncio.Event())
    calls = [asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer)) for _ in range(100)]
    await eventually(lambda: loader.calls > 0)
    gate.set()
    assert await asyncio.gather(*calls) == [Answer("loaded", 1)] * 100
    assert loader.calls == 1


async def test_a_load_survives_the_cancellation_of_its_leader(cache: Cache) -> None:
    loader = Loader(gate := asyncio.Event())
    await cache.invalidate("t", "knowledge")
    leader = asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer))
    await eventually(lambda: loader.calls == 1)
    follower = asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer))
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    gate.set()
    assert await follower == Answer("loaded", 1)


async def test_a_loaders_error_reaches_every_waiter_and_is_not_kept(cache: Cache) -> None:
    async def broken() -> Answer:
        await asyncio.sleep(0)
        raise KeyError("source")

    calls = [cache.get_or_load(KEY, broken, type=Answer) for _ in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {KeyError}
    assert await cache.get_or_load(KEY, Loader(), type=Answer) == Answer("loaded", 1)


async def test_a_waiters_deadline_ends_its_wait_and_not_the_load(cache: Cache) -> None:
    loader = Loader(gate := asyncio.Event())
    with Deadline.after(0.5).scope(), pytest.raises(DeadlineExceeded):
        await cache.get_or_load(KEY, loader, type=Answer)
    patient = asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer))
    gate.set()
    assert await patient == Answer("loaded", 1)
    assert loader.calls == 1


async def test_an_optional_value_may_be_nothing(cache: Cache) -> None:
    calls = 0

    async def nothing() -> int | None:
        nonlocal calls
        calls += 1
        return None

    for _ in range(2):
        assert await cache.get_or_load(KEY, nothing, type=int | None) is None
    assert calls == 1


async def test_a_type_without_encoding_is_refused_before_the_load(cache: Cache) -> None:
    class Opaque:
        pass

    async def load() -> Opaque:
        raise AssertionError

    with pytest.raises(NotCacheable):
        await cache.get_or_load(KEY, load, type=Opaque)


async def test_without_redis_the_loader_answers_and_an_error_is_counted(
    server: Server, counted: Counted
) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        cache, loader = Cache(redis), Loader()
        server.kill()
        for n in range(1, 9):
            assert await cache.get_or_load(KEY, loader, type=Answer) == Answer("loaded", n)
        assert counted() == {"error": 8}
        with pytest.raises(RedisUnavailable):
            await cache.invalidate("t", "knowledge")


async def test_a_value_that_cannot_be_kept_is_still_the_answer(server: Server, counted: Counted) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        cache = Cache(redis)
        await cache.invalidate("t", "knowledge")
        await redis.execute("CONFIG", "SET", "maxmemory", 1)
        assert await cache.get_or_load(KEY, Loader(), type=Answer) == Answer("loaded", 1)
        assert counted() == {"miss": 1, "unsaved": 1}
