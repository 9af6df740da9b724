"""Beyond the time to live: refreshed early, served stale, standing in for what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sba_cache import Cache, CacheSettings, LoadTimeout, Policy
from sba_resilience import Deadline, DeadlineExceeded
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.cache.answers import KEY, Answer, Loader, Time
from tests.integration.resilience.faults import Server, eventually

Counted = Callable[[], dict[str, int]]
STALE = Policy(stale=60.0, jitter=0.0, early=0.0)
SAFE = Policy(fail_safe=60.0, jitter=0.0, early=0.0)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["near", "far"])
def timed(redis: RedisClient, time: Time, request: pytest.FixtureRequest) -> Cache:
    """A cache whose time is told, with a level in the process and without."""
    room = CacheSettings() if request.param == "near" else CacheSettings(l1_bytes=0)
    return Cache(redis, room, clock=time, now=time)


async def test_a_stale_value_is_served_while_one_refresh_runs(
    timed: Cache, time: Time, counted: Counted
) -> None:
    loader = Loader(gate := asyncio.Event())
    gate.set()
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
    gate.clear()
    time.now += 20.0
    for _ in range(5):
        answer = await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
        assert answer == Answer("loaded", 1)
    await eventually(lambda: loader.calls == 2)
    gate.set()

    async def refreshed() -> bool:
        answer = await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
        return answer == Answer("loaded", 2)

    await eventually(refreshed)
    assert loader.calls == 2
    assert counted()["stale"] >= 5


async def test_beyond_the_stale_time_a_caller_waits(timed: Cache, time: Time) -> None:
    loader = Loader()
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
    time.now += 70.1
    answer = await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
    assert answer == Answer("loaded", 2)


async def test_a_refresh_that_fails_is_counted_and_not_repeated_at_once(
    timed: Cache, time: Time, counted: Counted
) -> None:
    loader = Loader()
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
    loader.error = OSError("source")
    loader.gate = gate = asyncio.Event()
    time.now += 20.0
    for _ in range(5):
        await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
    await eventually(lambda: loader.calls == 2)
    gate.set()
    await eventually(lambda: counted().get("refresh_failures") == 1)
    if timed._local.keeps:
        for _ in range(5):
            await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
        assert loader.calls == 2
        time.now += 1.1
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
    await eventually(lambda: loader.calls == 3)


async def test_a_stale_value_that_was_invalidated_is_not_served(timed: Cache, time: Time) -> None:
    loader = Loader()
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
    time.now += 20.0
    await timed.invalidate("t", "knowledge")
    answer = await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=STALE)
    assert answer == Answer("loaded", 2)


async def test_an_old_value_stands_in_for_a_load_that_fails(
    timed: Cache, time: Time, counted: Counted
) -> None:
    loader = Loader()
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE)
    loader.error = OSError("source")
    time.now += 30.0
    answer = await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE)
    assert answer == Answer("loaded", 1)
    assert counted()["failsafe"] == 1
    time.now += 45.0
    with pytest.raises(OSError, match="source"):
        await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE)


async def test_a_value_that_stood_in_is_held_before_the_load_is_tried_again(
    redis: RedisClient, time: Time, counted: Counted
) -> None:
    cache = Cache(redis, clock=time, now=time)
    loader = Loader()
    await cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE)
    loader.error = OSError("source")
    time.now += 30.0
    for _ in range(5):
        await cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE)
    assert loader.calls == 2
    assert counted()["failsafe"] == 5
    time.now += 1.1
    loader.error = None
    answer = await cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE)
    assert answer == Answer("loaded", 3)


async def test_an_old_value_stands_in_for_a_load_that_is_slow_and_the_load_goes_on(
    timed: Cache, time: Time
) -> None:
    policy = Policy(fail_safe=60.0, soft_timeout=0.05, hold=0.0, jitter=0.0)
    loader = Loader(gate := asyncio.Event())
    gate.set()
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy)
    gate.clear()
    time.now += 30.0
    answer = await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy)
    assert answer == Answer("loaded", 1)
    gate.set()

    async def arrived() -> bool:
        answer = await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy)
        return answer == Answer("loaded", 2)

    await eventually(arrived)
    assert loader.calls == 2


async def test_an_old_value_that_was_invalidated_meanwhile_does_not_stand_in(
    timed: Cache, time: Time, other: Cache
) -> None:
    policy = Policy(fail_safe=60.0, soft_timeout=0.3, jitter=0.0)
    loader = Loader(gate := asyncio.Event())
    gate.set()
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy)
    gate.clear()
    time.now += 30.0
    asking = asyncio.ensure_future(timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy))
    await eventually(lambda: loader.calls == 2)
    await timed.invalidate("t", "knowledge")
    loader.error = OSError("source")
    gate.set()
    with pytest.raises(OSError, match="source"):
        await asking


async def test_a_caller_whose_old_value_is_no_longer_good_waits_for_the_load(
    timed: Cache, time: Time
) -> None:
    policy = Policy(fail_safe=60.0, soft_timeout=0.2, jitter=0.0)
    loader = Loader(gate := asyncio.Event())
    gate.set()
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy)
    gate.clear()
    time.now += 30.0
    asking = asyncio.ensure_future(timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy))
    await eventually(lambda: loader.calls == 2)
    await timed.invalidate("t", "knowledge")
    done, _ = await asyncio.wait({asking}, timeout=0.5)
    assert not done
    gate.set()
    assert await asking == Answer("loaded", 2)


async def test_a_value_that_stood_in_is_held_also_when_it_is_looked_at_again(
    redis: RedisClient, time: Time, counted: Counted
) -> None:
    cache, loader = Cache(redis, clock=time, now=time), Loader()
    policy = Policy(fail_safe=60.0, hold=10.0, jitter=0.0)
    await cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy)
    loader.error = OSError("source")
    time.now += 30.0
    for _ in range(4):
        await cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy)
        time.now += 2.0  # longer than what is in the process is believed
    assert loader.calls == 2
    assert counted()["failsafe"] == 4


async def test_what_cannot_be_checked_does_not_stand_in(server: Server, time: Time) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=1.0)) as redis:
        cache = Cache(redis, CacheSettings(window=5.0), clock=time, now=time)
        loader = Loader(gate := asyncio.Event())
        gate.set()
        await cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE)
        gate.clear()
        time.now += 30.0
        asking = asyncio.ensure_future(cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE))
        await eventually(lambda: loader.calls == 2)
        server.kill()
        time.now += 10.0
        loader.error = OSError("source")
        gate.set()
        with pytest.raises(OSError, match="source"):
            await asking


async def test_a_callers_own_deadline_is_not_answered_with_an_old_value(timed: Cache, time: Time) -> None:
    loader = Loader(gate := asyncio.Event())
    gate.set()
    await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE)
    gate.clear()
    time.now += 30.0
    with Deadline.after(0.2).scope(), pytest.raises(DeadlineExceeded):
        await timed.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=SAFE)
    gate.set()


async def test_a_load_is_cancelled_at_its_hard_limit(cache: Cache, redis: RedisClient) -> None:
    loader = Loader(asyncio.Event())
    with pytest.raises(LoadTimeout) as caught:
        await cache.get_or_load(KEY, loader, type=Answer, policy=Policy(hard_timeout=0.05))
    assert (caught.value.namespace, caught.value.limit) == ("knowledge", 0.05)
    assert await redis.execute("EXISTS", KEY.lease_key) == 0


async def test_a_loaders_own_timeout_is_its_own(cache: Cache) -> None:
    loader = Loader()
    loader.error = TimeoutError("mine")
    with pytest.raises(TimeoutError, match="mine"):
        await cache.get_or_load(KEY, loader, type=Answer, policy=Policy(hard_timeout=5.0))


async def test_a_value_that_was_slow_to_load_is_refreshed_before_it_expires(
    timed: Cache, time: Time, counted: Counted
) -> None:
    calls = 0

    async def slow() -> int:
        nonlocal calls
        calls += 1
        time.now += 5.0
        return calls

    policy = Policy(early=1.0, jitter=0.0)
    for _ in range(600):
        await timed.get_or_load(KEY, slow, ttl=100.0, type=int, policy=policy)
        time.now += 1.0
        await asyncio.sleep(0.002)
    assert calls > 2
    outcomes = counted()
    assert outcomes.get("miss", 0) < calls, "some of the loads were ahead of the expiry"


async def test_without_eagerness_nothing_is_refreshed_early(timed: Cache, time: Time) -> None:
    calls = 0

    async def slow() -> int:
        nonlocal calls
        calls += 1
        time.now += 5.0
        return calls

    for _ in range(90):
        await timed.get_or_load(KEY, slow, ttl=100.0, type=int, policy=STALE)
        time.now += 1.0
    assert calls == 1
