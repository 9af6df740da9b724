"""Concurrent reads share commands, and nothing else: no one's deadline, cancellation or failure."""

from __future__ import annotations

import asyncio

import pytest

from sba_cache import MISSING, Cache, CacheKey, CacheSettings
from sba_cache.coherence import TOGETHER
from sba_cache.gathering import FAR, ROOM
from sba_resilience import Deadline, DeadlineExceeded
from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, WrongEventLoop, open_redis
from tests.integration.resilience.faults import Server, eventually

MANY = 4 * TOGETHER
KEYS = [CacheKey("t", "numbers", n) for n in range(MANY)]


async def mgets(redis: RedisClient) -> int:
    """Reads that the server has served."""
    stats = (await redis.execute("INFO", "commandstats")).decode()
    line = next((line for line in stats.splitlines() if line.startswith("cmdstat_mget:")), "calls=0,")
    return int(line.partition("calls=")[2].partition(",")[0])


async def answers(redis: RedisClient) -> bool:
    try:
        await redis.ping()
    except RedisUnavailable:
        return False
    return True


async def known(far: Cache) -> None:
    for n, key in enumerate(KEYS):
        await far.set(key, n, type=int)


async def test_reads_of_one_turn_share_commands_and_each_gets_its_own_value(
    far: Cache, redis: RedisClient
) -> None:
    await known(far)
    before = await mgets(redis)
    found = await asyncio.gather(*(far.get(key, int) for key in KEYS))
    assert found == list(range(MANY))
    assert await mgets(redis) - before <= MANY / TOGETHER + 2


async def test_large_values_are_asked_for_a_few_at_a_time(redis_url: str) -> None:
    async with open_redis(RedisSettings(redis_url, command_timeout=5.0)) as redis:
        far = Cache(redis, CacheSettings(l1_bytes=0))
        for key in KEYS:
            await far.set(key, "x" * (ROOM // 3), type=str)
        await asyncio.gather(*(far.get(key, str) for key in KEYS))
        before = await mgets(redis)
        await asyncio.gather(*(far.get(key, str) for key in KEYS))
        assert await mgets(redis) - before >= MANY / 3


async def test_after_a_command_that_failed_values_are_asked_for_one_by_one_at_first(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        far = Cache(redis, CacheSettings(l1_bytes=0))
        await known(far)
        with server.frozen():
            assert set(await asyncio.gather(*(far.get(key, int) for key in KEYS))) == {MISSING}
        await eventually(lambda: answers(redis))
        before = await mgets(redis)
        assert await asyncio.gather(*(far.get(key, int) for key in KEYS)) == list(range(MANY))
        assert await mgets(redis) - before >= MANY
        before = await mgets(redis)
        assert await asyncio.gather(*(far.get(key, int) for key in KEYS)) == list(range(MANY))
        assert await mgets(redis) - before <= MANY / TOGETHER + 2


async def test_reads_of_different_tenants_never_share_a_command(far: Cache, redis: RedisClient) -> None:
    keys = [CacheKey(f"t{n}", "numbers", 1) for n in range(8)]
    for n, key in enumerate(keys):
        await far.set(key, n, type=int)
    before = await mgets(redis)
    assert await asyncio.gather(*(far.get(key, int) for key in keys)) == list(range(8))
    assert await mgets(redis) - before == len(keys)


async def test_a_reader_that_goes_away_takes_nobody_along(far: Cache) -> None:
    await known(far)
    reads = [asyncio.ensure_future(far.get(key, int)) for key in KEYS]
    await asyncio.sleep(0)
    for read in reads[::3]:
        read.cancel()
    found = await asyncio.gather(*reads, return_exceptions=True)
    assert [value for n, value in enumerate(found) if n % 3] == [n for n in range(MANY) if n % 3]
    assert all(isinstance(value, asyncio.CancelledError) for value in found[::3])


async def test_a_lone_reader_that_goes_away_leaves_nothing_behind(far: Cache) -> None:
    await known(far)
    for turns in range(4):
        read = asyncio.ensure_future(far.get(KEYS[0], int))
        for _ in range(turns):
            await asyncio.sleep(0)
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)
        assert far._reader._gathering._unanswered == 0
    assert await far.get(KEYS[0], int) == 0


async def test_a_lone_reader_stays_awake_for_a_near_server_only(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=5.0)) as redis:
        far = Cache(redis, CacheSettings(l1_bytes=0))
        await known(far)
        gathering = far._reader._gathering
        gathering._far = 0
        with server.frozen():
            read = asyncio.ensure_future(far.get(KEYS[0], int))
            await eventually(lambda: gathering._far == FAR)
            assert not read.done()
        assert await read == 0
        assert await far.get(KEYS[1], int) == 1
        assert gathering._far == FAR - 1


async def test_a_reader_short_of_time_gives_up_alone(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=1.0)) as redis:
        far = Cache(redis, CacheSettings(l1_bytes=0))
        await known(far)

        async def in_a_hurry() -> object:
            async with Deadline.after(0.05):
                return await far.get(KEYS[1], int)

        with server.frozen():
            first = asyncio.ensure_future(far.get(KEYS[0], int))
            await asyncio.sleep(0)
            patient = asyncio.ensure_future(far.get(KEYS[2], int))
            with pytest.raises(DeadlineExceeded):
                await in_a_hurry()
            assert not patient.done()
        assert await first == 0
        assert await patient == 2


async def test_all_who_share_a_command_hear_that_it_failed(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        far = Cache(redis, CacheSettings(l1_bytes=0))
        await known(far)
        with server.frozen():
            found = await asyncio.gather(*(far.get(key, int) for key in KEYS))
        assert set(found) == {MISSING}


async def test_what_is_invalidated_while_reads_gather_is_not_read(far: Cache) -> None:
    await known(far)
    invalidating = asyncio.ensure_future(far.invalidate("t", "numbers"))
    first = asyncio.ensure_future(far.get(KEYS[0], int))
    await asyncio.sleep(0)
    rest = [asyncio.ensure_future(far.get(key, int)) for key in KEYS[1:]]
    await invalidating
    assert set(await asyncio.gather(*rest)) == {MISSING}
    await first


async def test_reads_are_asked_again_while_an_invalidation_is_owed(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        far = Cache(redis, CacheSettings(l1_bytes=0))
        await known(far)
        server.freeze()
        with pytest.raises(RedisUnavailable):
            await far.invalidate("t", "numbers")
        assert set(await asyncio.gather(*(far.get(key, int) for key in KEYS))) == {MISSING}
        server.thaw()
        await eventually(lambda: redis.state == "closed")
        assert set(await asyncio.gather(*(far.get(key, int) for key in KEYS))) == {MISSING}


async def test_a_client_that_is_closed_answers_nobody(redis_url: str) -> None:
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as redis:
        far = Cache(redis, CacheSettings(l1_bytes=0))
        await known(far)
        reads = [asyncio.ensure_future(far.get(key, int)) for key in KEYS]
        await asyncio.sleep(0)
    assert set(await asyncio.gather(*reads)) <= {MISSING, *range(MANY)}


async def test_another_event_loop_is_refused(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=1.0)) as redis:
        far = Cache(redis, CacheSettings(l1_bytes=0))
        await known(far)

        def elsewhere() -> object:
            return asyncio.run(far.get(KEYS[1], int))

        with server.frozen():
            first = asyncio.ensure_future(far.get(KEYS[0], int))
            await asyncio.sleep(0)
            with pytest.raises(WrongEventLoop):
                await asyncio.to_thread(elsewhere)
        assert await first == 0
