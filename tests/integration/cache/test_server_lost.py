"""A server that forgets, is full or refuses: what was invalidated stays so."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sba_cache import MISSING, Cache, CacheKey, CacheSettings, metrics
from sba_local.valkey import EmbeddedValkey
from sba_resilience import RedisUnavailable
from sba_resilience.errors import RedisCommandError
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.cache.answers import KEY, Answer, Loader
from tests.integration.resilience.faults import Server, eventually, works


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server that comes back with what it saved."""
    engine = EmbeddedValkey(tmp_path / "kept")
    engine.start()
    yield engine
    engine.stop()


@asynccontextmanager
async def snapshot(engine: EmbeddedValkey, redis: RedisClient) -> AsyncIterator[None]:
    """Lose whatever is written in the block."""
    async with Redis.from_url(engine.url) as admin:
        await admin.save()
    yield
    os.kill(engine.pid, signal.SIGKILL)
    engine.stop()
    again = EmbeddedValkey(engine._data_dir, port=engine.port)
    again.start()
    vars(engine).update(vars(again))
    await eventually(lambda: works(redis))


async def load(cache: Cache, text: str, key: CacheKey = KEY) -> str:
    answer = await cache.get_or_load(key, Loader(text=text), ttl=600.0, type=Answer, tags=("a",))
    return answer.text


async def test_what_was_invalidated_does_not_come_back_with_a_snapshot(kept: EmbeddedValkey) -> None:
    async with open_redis(RedisSettings(kept.url)) as redis, open_redis(RedisSettings(kept.url)) as elsewhere:
        cache, other = Cache(redis, CacheSettings(l1_bytes=0)), Cache(elsewhere)
        keys = [CacheKey("t", "space", "q"), CacheKey("u", "space", "q"), CacheKey("v", "other", "q")]
        for key in keys:
            await load(cache, "old", key)
        async with snapshot(kept, redis):
            await cache.invalidate("t", "space")
            await cache.invalidate("u")
            await cache.invalidate("v", tag="a")
            for key in keys:
                assert await load(cache, "new", key) == "new"
        assert [await load(cache, "newer", key) for key in keys] == ["newer"] * 3
        await eventually(lambda: not cache._versions._owed)
        assert [await load(other, "newest", key) for key in keys] == ["newer"] * 3


async def test_other_nodes_are_told_by_the_first_read_of_any_key(kept: EmbeddedValkey) -> None:
    async with open_redis(RedisSettings(kept.url)) as redis, open_redis(RedisSettings(kept.url)) as elsewhere:
        cache, other = Cache(redis), Cache(elsewhere)
        await load(cache, "old")
        async with snapshot(kept, redis):
            await cache.invalidate("t", "knowledge")
        await load(cache, "any", CacheKey("somebody", "else", "q"))

        async def told() -> bool:
            return await load(other, "new") == "new"

        await eventually(told)


async def test_a_server_that_stays_is_told_once(redis: RedisClient, cache: Cache) -> None:
    await load(cache, "old")
    await cache.invalidate("t", "knowledge")
    retried = metrics.pending.count
    for n in range(5):
        await load(cache, "new", CacheKey("t", "knowledge", n))
    assert metrics.pending.count == retried
    assert not cache._versions._owed


async def test_a_full_server_can_still_be_told(server: Server) -> None:
    settings = RedisSettings(server.url, command_timeout=2.0)
    async with open_redis(settings) as redis, open_redis(settings) as elsewhere:
        cache, other = Cache(redis), Cache(elsewhere)
        for reader in (cache, other):
            assert await load(reader, "old") == "old"
        await redis.execute("CONFIG", "SET", "maxmemory", 1)
        await cache.invalidate("t", "knowledge")
        assert not cache._versions._owed
        assert await load(cache, "new") == "new"

        async def told() -> bool:
            return await load(other, "new") == "new"

        await eventually(told)
        await redis.execute("CONFIG", "SET", "maxmemory", 0)
        far = Cache(redis, CacheSettings(l1_bytes=0))
        assert await far.get(KEY, Answer, tags=("a",)) is MISSING


async def test_one_that_is_refused_holds_up_no_other(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        cache = Cache(redis)
        await load(cache, "old")
        await redis.execute("ACL", "SETUSER", "default", "resetkeys", "~sba:c[al]:*", "~sba:cv:{allowed}*")
        with pytest.raises(RedisCommandError):
            await cache.invalidate("refused")
        server.freeze()
        with pytest.raises(RedisUnavailable):
            await cache.invalidate("allowed")
        server.thaw()
        await eventually(lambda: set(cache._versions._owed) == {"sba:cv:{refused}"})
        await redis.execute("ACL", "SETUSER", "default", "allkeys")
        await eventually(lambda: not cache._versions._owed)
