"""What was invalidated is never seen again, and an invalidation is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from sba_cache import MISSING, Cache, CacheKey, metrics, versions
from sba_resilience import Deadline, DeadlineExceeded, RedisUnavailable
from sba_resilience.errors import RedisCommandError
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.cache.answers import KEY, Answer, Loader
from tests.integration.resilience.faults import Server, eventually

Counted = Callable[[], dict[str, int]]
Change = Callable[[Cache], Awaitable[object]]

CHANGES: dict[str, Change] = {
    "namespace": lambda cache: cache.invalidate("t", "knowledge"),
    "tenant": lambda cache: cache.invalidate("t"),
    "tag": lambda cache: cache.invalidate("t", tag="a"),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@every_change
async def test_an_invalidation_is_one_command_and_reaches_every_key(
    redis: RedisClient, far: Cache, counted: Counted, change: Change
) -> None:
    keys = [CacheKey("t", "knowledge", n) for n in range(20)]
    for key in keys:
        await far.get_or_load(key, Loader(), type=Answer, tags=("a", "b"))
    await redis.execute("CONFIG", "RESETSTAT")
    await change(far)
    stats = (await redis.execute("INFO", "commandstats")).decode()
    assert stats.count("cmdstat_") == 2, "the invalidation and CONFIG RESETSTAT"
    assert "cmdstat_set:calls=1," in stats
    for key in keys:
        await far.get_or_load(key, Loader(), type=Answer, tags=("a", "b"))
    assert counted() == {"miss": 20, "invalidated": 20}


@every_change
async def test_an_invalidation_touches_nothing_else(cache: Cache, change: Change) -> None:
    others = [CacheKey("u", "knowledge", "q", 1), CacheKey("t", "tools", "q", 1)]
    for key in others:
        await cache.get_or_load(key, Loader(), type=Answer, tags=("b",))
    await change(cache)
    again = Loader()
    await cache.get_or_load(others[0], again, type=Answer, tags=("b",))
    if change is not CHANGES["tenant"]:
        await cache.get_or_load(others[1], again, type=Answer, tags=("b",))
    assert again.calls == 0


async def test_tags_are_a_set_and_part_of_what_is_read(cache: Cache, far: Cache) -> None:
    loader = Loader()
    for reader in (cache, far):
        await reader.get_or_load(KEY, loader, type=Answer, tags=("a", "b"))
        await reader.get_or_load(KEY, loader, type=Answer, tags=("b", "a", "b"))
    assert loader.calls == 1
    await cache.get_or_load(KEY, loader, type=Answer, tags=("a",))
    assert loader.calls == 2


@every_change
async def test_a_load_begun_before_an_invalidation_never_becomes_visible(
    cache: Cache, change: Change
) -> None:
    await change(cache)
    old = Loader(gate := asyncio.Event(), "old")
    early = asyncio.ensure_future(cache.get_or_load(KEY, old, type=Answer, tags=("a",)))
    await eventually(lambda: old.calls == 1)
    await change(cache)
    fresh = Loader(text="new")
    assert await cache.get_or_load(KEY, fresh, type=Answer, tags=("a",)) == Answer("new", 1)
    gate.set()
    assert await early == Answer("old", 1)
    assert await cache.get_or_load(KEY, fresh, type=Answer, tags=("a",)) == Answer("new", 1)
    assert fresh.calls == 1, "the late load neither showed nor removed what was stored since"


async def test_a_late_load_alone_leaves_nothing_to_read(cache: Cache, far: Cache) -> None:
    old = Loader(gate := asyncio.Event(), "old")
    early = asyncio.ensure_future(cache.get_or_load(KEY, old, type=Answer))
    await eventually(lambda: old.calls == 1)
    await far.invalidate("t", "knowledge")
    gate.set()
    await early
    for reader in (cache, far):
        assert await reader.get(KEY, Answer) is MISSING


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


async def test_a_version_the_server_forgot_makes_its_values_a_miss(cache: Cache, redis: RedisClient) -> None:
    await cache.get_or_load(KEY, Loader(), type=Answer)
    await redis.execute("FLUSHDB")
    again = Loader()
    await eventually_loads(cache, again)


async def eventually_loads(cache: Cache, loader: Loader) -> None:
    """Read until what is in the process is no longer believed."""

    async def loaded() -> bool:
        await cache.get_or_load(KEY, loader, type=Answer, tags=())
        return loader.calls > 0

    await eventually(loaded)


@every_change
async def test_an_invalidation_redis_did_not_acknowledge_is_sent_again_and_blocks_meanwhile(
    server: Server, change: Change
) -> None:
    settings = RedisSettings(server.url, command_timeout=1.0)
    async with open_redis(settings) as redis, open_redis(settings) as elsewhere:
        cache, other = Cache(redis), Cache(elsewhere)
        await cache.get_or_load(KEY, Loader(text="old"), ttl=600.0, type=Answer, tags=("a",))
        server.freeze()
        with pytest.raises(RedisUnavailable):
            await change(cache)
        here = Loader(text="new")
        assert await cache.get_or_load(KEY, here, type=Answer, tags=("a",)) == Answer("new", 1)
        server.thaw()
        there = Loader(text="newer")

        async def arrived() -> bool:
            return (await other.get_or_load(KEY, there, type=Answer, tags=("a",))).text != "old"

        await eventually(arrived)
        assert (await cache.get_or_load(KEY, here, type=Answer, tags=("a",))).text != "old"
        await eventually(lambda: not cache._versions._owed)


async def test_an_invalidation_whose_caller_gave_up_is_sent_all_the_same(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=5.0)) as redis:
        cache = Cache(redis)
        await cache.get_or_load(KEY, Loader(text="old"), ttl=600.0, type=Answer)
        with server.frozen():
            with Deadline.after(0.2).scope(), pytest.raises(DeadlineExceeded):
                await cache.invalidate("t", "knowledge")
            assert cache._versions._owed
        await eventually(lambda: not cache._versions._owed)
        assert (await cache.get_or_load(KEY, Loader(text="new"), type=Answer)).text == "new"


async def test_an_invalidation_the_server_refuses_is_owed_too(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        cache = Cache(redis)
        await cache.get_or_load(KEY, Loader(text="old"), ttl=600.0, type=Answer)
        await redis.execute("ACL", "SETUSER", "default", "-set")
        with pytest.raises(RedisCommandError):
            await cache.invalidate("t", "knowledge")
        assert (await cache.get_or_load(KEY, Loader(text="refused"), type=Answer)).text == "refused"
        assert await cache.get(KEY, Answer) is MISSING
        retried = metrics.pending.count
        await eventually(lambda: metrics.pending.count > retried + 1)
        await redis.execute("ACL", "SETUSER", "default", "+set")
        assert (await cache.get_or_load(KEY, Loader(text="new"), type=Answer)).text == "new"
        assert not cache._versions._owed, "a read pays what is owed first"


async def test_owed_invalidations_beyond_a_number_become_one_of_the_whole_tenant(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "OWED", 3)
    async with open_redis(RedisSettings(server.url, command_timeout=1.0)) as redis:
        cache = Cache(redis)
        key = CacheKey("t", "n9", "q")
        await cache.get_or_load(key, Loader(text="old"), ttl=600.0, type=Answer)
        server.freeze()
        for n in (1, 2, 3, 9):
            with pytest.raises(RedisUnavailable):
                await cache.invalidate("t", f"n{n}")
        assert set(cache._versions._owed) == {"sba:cv:{t}"}
        server.thaw()
        await eventually(lambda: not cache._versions._owed)
        assert (await cache.get_or_load(key, Loader(text="new"), type=Answer)).text == "new"


async def test_what_is_owed_when_the_client_closes_is_said_and_not_tried_for_ever(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        cache = Cache(redis)
        await cache.get_or_load(KEY, Loader(), type=Answer)
        server.kill()
        with pytest.raises(RedisUnavailable):
            await cache.invalidate("t", "knowledge")
    retrying = cache._versions._retrying
    assert retrying is not None
    await eventually(retrying.done)
