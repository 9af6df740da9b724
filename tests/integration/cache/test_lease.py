"""One load across processes: granted, waited for, taken over, fenced."""

from __future__ import annotations

import asyncio

import pytest

from sba_cache import Cache, CacheKey, CacheSettings, LoadsItself, NotCacheable
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.cache.answers import KEY, Answer, Loader
from tests.integration.resilience.faults import eventually


async def test_one_process_loads_and_the_others_wait_for_it(cache: Cache, other: Cache) -> None:
    first, second = Loader(gate := asyncio.Event(), "first"), Loader(text="second")
    leading = asyncio.ensure_future(cache.get_or_load(KEY, first, type=Answer))
    await eventually(lambda: first.calls == 1)
    waiting = [asyncio.ensure_future(other.get_or_load(KEY, second, type=Answer)) for _ in range(20)]
    await asyncio.wait(waiting, timeout=0.1)
    gate.set()
    assert await leading == Answer("first", 1)
    assert await asyncio.gather(*waiting) == [Answer("first", 1)] * 20
    assert second.calls == 0


async def test_when_the_load_of_one_process_fails_another_loads_at_once(cache: Cache, other: Cache) -> None:
    first, second = Loader(gate := asyncio.Event()), Loader(text="second")
    first.error = OSError("source")
    leading = asyncio.ensure_future(cache.get_or_load(KEY, first, type=Answer))
    await eventually(lambda: first.calls == 1)
    waiting = asyncio.ensure_future(other.get_or_load(KEY, second, type=Answer))
    gate.set()
    with pytest.raises(OSError, match="source"):
        await leading
    assert await waiting == Answer("second", 1)


async def test_the_lease_of_a_process_that_died_runs_out(redis: RedisClient, redis_url: str) -> None:
    settings = CacheSettings(lease=0.3)
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as dying:
        gone = Loader(asyncio.Event())
        leading = asyncio.ensure_future(Cache(dying, settings).get_or_load(KEY, gone, type=Answer))
        await eventually(lambda: gone.calls == 1)
    # its client is closed: it renews nothing from here on
    heir = Loader(text="heir")
    assert await Cache(redis, settings).get_or_load(KEY, heir, type=Answer) == Answer("heir", 1)
    leading.cancel()


async def test_a_living_holder_keeps_its_lease_for_as_long_as_it_loads(
    redis: RedisClient, other: Cache
) -> None:
    loader = Loader(gate := asyncio.Event())
    slow = Cache(redis, CacheSettings(lease=0.2))
    leading = asyncio.ensure_future(slow.get_or_load(KEY, loader, type=Answer))
    await eventually(lambda: loader.calls == 1)
    second = Loader(text="second")
    waiting = asyncio.ensure_future(other.get_or_load(KEY, second, type=Answer))
    done, _ = await asyncio.wait({waiting}, timeout=1.0)
    assert not done
    gate.set()
    assert (await leading).text == (await waiting).text == "loaded"
    assert second.calls == 0


async def test_a_holder_that_lost_its_lease_stores_nothing(
    cache: Cache, redis: RedisClient, other: Cache
) -> None:
    late = Loader(gate := asyncio.Event(), "late")
    leading = asyncio.ensure_future(cache.get_or_load(KEY, late, type=Answer))
    await eventually(lambda: late.calls == 1)
    await redis.execute("DEL", KEY.lease_key)
    assert await other.get_or_load(KEY, Loader(text="heir"), type=Answer) == Answer("heir", 1)
    gate.set()
    assert await leading == Answer("late", 1)
    for reader in (cache, other):
        assert (await reader.get_or_load(KEY, late, type=Answer)).text == "heir"


async def test_a_holder_that_hears_its_lease_is_gone_renews_it_no_more(
    redis: RedisClient, other: Cache
) -> None:
    late = Loader(gate := asyncio.Event(), "late")
    holding = Cache(redis, CacheSettings(lease=0.15))
    leading = asyncio.ensure_future(holding.get_or_load(KEY, late, type=Answer))
    await eventually(lambda: late.calls == 1)
    heir = Loader(asyncio.Event(), "heir")
    await redis.execute("DEL", KEY.lease_key)
    taking = asyncio.ensure_future(other.get_or_load(KEY, heir, type=Answer))
    await eventually(lambda: heir.calls == 1)
    owner = await redis.execute("GET", KEY.lease_key)
    await asyncio.wait({leading}, timeout=0.3)
    assert await redis.execute("GET", KEY.lease_key) == owner
    gate.set()
    await leading
    assert await redis.execute("GET", KEY.lease_key) == owner
    taking.cancel()


async def test_after_an_invalidation_nobody_waits_for_a_load_from_before(cache: Cache, other: Cache) -> None:
    old = Loader(asyncio.Event(), "old")
    leading = asyncio.ensure_future(cache.get_or_load(KEY, old, type=Answer))
    await eventually(lambda: old.calls == 1)
    await cache.invalidate("t", "knowledge")
    assert (await other.get_or_load(KEY, Loader(text="new"), type=Answer)).text == "new"
    leading.cancel()


async def test_a_stored_value_of_another_schema_is_waited_for_and_then_replaced(
    cache: Cache, other: Cache
) -> None:
    """As in a deployment that changes the type: the other schema is stored while we wait for its lease."""
    first = Loader(gate := asyncio.Event())
    leading = asyncio.ensure_future(other.get_or_load(KEY, first, type=Answer))
    await eventually(lambda: first.calls == 1)

    async def number() -> int:
        return 7

    asking = asyncio.ensure_future(cache.get_or_load(KEY, number, type=int))
    await asyncio.wait({asking}, timeout=0.1)
    gate.set()
    assert await leading == Answer("loaded", 1)
    assert await asking == 7
    assert await cache.get(KEY, int) == 7


async def test_a_load_that_asks_for_its_own_value_fails_and_one_that_asks_for_another_does_not(
    cache: Cache,
) -> None:
    inner = CacheKey("t", "knowledge", "inner")

    async def itself() -> int:
        return await cache.get_or_load(KEY, itself, type=int)

    async def of_another() -> int:
        return await cache.get_or_load(inner, itself_of_inner, type=int)

    async def itself_of_inner() -> int:
        return 7

    later: list[asyncio.Task[int]] = []

    async def and_then() -> int:
        later.append(asyncio.create_task(after()))
        return 1

    async def after() -> int:
        await eventually(lambda: cache._local.get(KEY) is not None)
        await cache.delete(KEY)
        return await cache.get_or_load(KEY, itself_of_inner, type=int)

    with pytest.raises(LoadsItself, match="knowledge"):
        await cache.get_or_load(KEY, itself, type=int)
    assert await cache.get_or_load(KEY, and_then, type=int) == 1
    assert await later[0] == 7
    await cache.delete(KEY)
    assert await cache.get_or_load(KEY, of_another, type=int) == 7


async def test_a_value_of_another_kind_under_our_name_costs_speed_only(
    cache: Cache, redis: RedisClient
) -> None:
    await redis.execute("LPUSH", KEY.redis_key, "what is this?")
    loader = Loader()
    assert await cache.get_or_load(KEY, loader, type=Answer) == Answer("loaded", 1)


async def test_a_script_the_server_forgot_is_sent_again(far: Cache, redis: RedisClient) -> None:
    await far.get_or_load(KEY, Loader(), type=Answer)
    await redis.execute("SCRIPT", "FLUSH")
    key, loader = CacheKey("t", "knowledge", "next"), Loader()
    for _ in range(2):
        await far.get_or_load(key, loader, type=Answer)
    assert loader.calls == 1


async def test_a_refused_value_does_not_keep_others_from_loading(cache: Cache, other: Cache) -> None:
    async def wrong() -> object:
        return object()

    with pytest.raises(NotCacheable):
        await cache.get_or_load(KEY, wrong)
    assert await other.get_or_load(KEY, Loader(), type=Answer) == Answer("loaded", 1)
