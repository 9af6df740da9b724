"""Hits, misses and shared loads on the real server."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from uuid import uuid4

import pytest

from sba_cache import Cache, CacheKey, Compress, NotCacheable, Policy
from sba_resilience import Deadline, DeadlineExceeded
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.cache.answers import KEY, Answer, Loader
from tests.integration.resilience.faults import eventually

Counted = Callable[[], dict[str, int]]


async def test_without_a_type_plain_data_is_kept(cache: Cache) -> None:
    calls: list[int] = []

    async def load() -> dict[str, list[int]]:
        calls.append(1)
        return {"found": [1, 2]}

    assert [await cache.get_or_load(KEY, load) for _ in range(2)] == [{"found": [1, 2]}] * 2
    assert len(calls) == 1


async def test_a_value_is_loaded_once_and_then_read(far: Cache, counted: Counted) -> None:
    loader = Loader()
    for _ in range(3):
        assert await far.get_or_load(KEY, loader, type=Answer) == Answer("loaded", 1)
    assert loader.calls == 1
    assert counted() == {"miss": 1, "hit_l2": 2}


async def test_a_hit_in_redis_is_one_command(redis: RedisClient, far: Cache) -> None:
    loader = Loader()
    await far.get_or_load(KEY, loader, type=Answer, tags=("a", "b"))
    await redis.execute("CONFIG", "RESETSTAT")
    await far.get_or_load(KEY, loader, type=Answer, tags=("a", "b"))
    stats = (await redis.execute("INFO", "commandstats")).decode()
    assert "cmdstat_mget:calls=1," in stats
    assert stats.count("cmdstat_") == 2, "the read and CONFIG RESETSTAT"


async def test_every_caller_has_the_same_value_as_its_type_is_decoded(cache: Cache) -> None:
    async def load() -> tuple[int, ...]:
        return (1, 2)

    first = await cache.get_or_load(KEY, load)
    assert first == await cache.get_or_load(KEY, load) == [1, 2]


async def test_changing_an_answer_changes_nobody_elses(cache: Cache) -> None:
    loader = Loader(gate := asyncio.Event())
    calls = [asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer)) for _ in range(5)]
    await eventually(lambda: loader.calls == 1)
    gate.set()
    for answer in await asyncio.gather(*calls):
        answer.text += "!"
    for _ in range(3):
        answer = await cache.get_or_load(KEY, loader, type=Answer)
        assert answer == Answer("loaded", 1)
        answer.text = "spoiled"


async def test_what_nobody_can_change_is_shared(cache: Cache) -> None:
    async def load() -> tuple[str, int]:
        return ("a", 1)

    answers = [await cache.get_or_load(KEY, load, type=tuple[str, int]) for _ in range(3)]
    assert answers[1] is answers[2]


async def test_concurrent_first_readers_settle_on_one_version(redis_url: str) -> None:
    settings = RedisSettings(redis_url, command_timeout=2.0)
    async with open_redis(settings) as one, open_redis(settings) as other:
        caches = [Cache(one), Cache(other)]
        for n in range(30):
            key, loader = CacheKey(uuid4(), "new", n), Loader()
            await asyncio.gather(*(cache.get_or_load(key, loader, type=Answer) for cache in caches))
            await caches[0].get_or_load(key, loader, type=Answer)
            assert loader.calls == 1


@pytest.mark.parametrize("version", ["short", ""])
async def test_a_damaged_version_is_replaced(redis: RedisClient, far: Cache, version: str) -> None:
    await redis.execute("SET", KEY.version_key, version)
    loader = Loader()
    for _ in range(2):
        await far.get_or_load(KEY, loader, type=Answer)
    assert loader.calls == 1


async def test_foreign_bytes_and_another_schema_are_counted_misses(
    redis: RedisClient, far: Cache, counted: Counted
) -> None:
    await far.get_or_load(KEY, Loader(), type=Answer)
    await redis.execute("SET", KEY.redis_key, b"\x80\x04\x95pickle")
    assert await far.get_or_load(KEY, Loader(), type=Answer) == Answer("loaded", 1)

    async def number() -> int:
        return 7

    assert await far.get_or_load(KEY, number, type=int) == 7
    assert await far.get_or_load(KEY, Loader(), type=int | Answer) == Answer("loaded", 1)
    assert counted() == {"miss": 1, "foreign": 3}


async def test_a_value_in_the_process_is_never_given_as_another_type(cache: Cache) -> None:
    await cache.get_or_load(KEY, Loader(), type=Answer)

    async def number() -> int:
        return 7

    assert await cache.get_or_load(KEY, number, type=int) == 7


async def test_a_value_expires(redis: RedisClient, cache: Cache) -> None:
    await cache.get_or_load(KEY, Loader(), ttl=12.5, type=Answer, policy=Policy(jitter=0.0))
    assert 10_000 < await redis.execute("PTTL", KEY.redis_key) <= 12_500
    assert await redis.execute("TTL", KEY.version_key) > 6 * 24 * 3600


async def test_a_value_kept_for_long_keeps_its_versions(redis: RedisClient, cache: Cache) -> None:
    month = 30 * 86400.0
    await cache.get_or_load(KEY, Loader(), ttl=month, type=Answer)
    assert await redis.execute("TTL", KEY.version_key) > month


@pytest.mark.parametrize("ttl", [0, -1.0, float("nan"), float("inf")])
async def test_a_time_to_live_is_above_zero(cache: Cache, ttl: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        await cache.get_or_load(KEY, Loader(), ttl=ttl, type=Answer)


async def test_expiries_spread(redis: RedisClient, far: Cache) -> None:
    keys = [CacheKey("t", "knowledge", n) for n in range(30)]
    await asyncio.gather(*(far.get_or_load(key, Loader(), ttl=1000.0, type=Answer) for key in keys))
    left = [await redis.execute("PTTL", key.redis_key) for key in keys]
    assert 890_000 < min(left) < max(left) <= 1_100_000
    assert max(left) - min(left) > 50_000


async def test_concurrent_callers_share_one_load(cache: Cache, counted: Counted) -> None:
    loader = Loader(gate := asyncio.Event())
    calls = [asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer)) for _ in range(100)]
    await eventually(lambda: loader.calls > 0)
    gate.set()
    assert await asyncio.gather(*calls) == [Answer("loaded", 1)] * 100
    assert loader.calls == 1
    assert counted() == {"miss": 100}


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


async def test_a_failed_load_that_nobody_waits_for_is_not_complained_about(cache: Cache) -> None:
    loader = Loader(gate := asyncio.Event())
    loader.error = KeyError("source")
    only = asyncio.ensure_future(cache.get_or_load(KEY, loader, type=Answer))
    await eventually(lambda: loader.calls == 1)
    only.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await only
    await eventually(lambda: not cache._answers._flights._tasks)
    gc.collect()
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


@pytest.mark.parametrize(("policy", "most"), [(Policy(), 5_500), (Policy(negative_ttl=60.0), 66_000)])
async def test_nothing_is_kept_for_less_long(
    redis: RedisClient, cache: Cache, policy: Policy, most: int
) -> None:
    async def nothing() -> None:
        return None

    await cache.get_or_load(KEY, nothing, ttl=1000.0, policy=policy)
    assert most * 0.8 < await redis.execute("PTTL", KEY.redis_key) <= most


async def test_a_type_without_encoding_is_refused_before_the_load(cache: Cache) -> None:
    class Opaque:
        pass

    async def load() -> Opaque:
        raise AssertionError

    with pytest.raises(NotCacheable):
        await cache.get_or_load(KEY, load, type=Opaque)


async def test_a_value_that_would_not_come_back_is_refused_and_its_lease_given_back(
    cache: Cache, redis: RedisClient
) -> None:
    async def text() -> str:
        return "seven"

    with pytest.raises(NotCacheable, match="int"):
        await cache.get_or_load(KEY, text, type=int)
    assert await redis.execute("EXISTS", KEY.redis_key, KEY.lease_key) == 0


async def test_a_large_value_is_stored_compressed(redis: RedisClient, far: Cache, cache: Cache) -> None:
    async def text() -> str:
        return "the same " * 1000

    packed = Policy(compress=Compress(threshold=100))
    for reader in (far, cache, cache):
        assert await reader.get_or_load(KEY, text, type=str, policy=packed) == "the same " * 1000
    assert await redis.execute("STRLEN", KEY.redis_key) < 300
