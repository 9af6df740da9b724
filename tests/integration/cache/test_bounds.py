"""Bounds that hold whatever is loaded, asked or stored."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from sba_cache import (
    MISSING,
    Cache,
    CacheKey,
    CacheSettings,
    LoadTimeout,
    NotOfType,
    Policy,
)
from sba_resilience.redis import RedisClient
from tests.integration.cache.answers import KEY, Answer, Loader, Time
from tests.integration.resilience.faults import eventually

Counted = Callable[[], dict[str, int]]
ROOM = 2 * 1024 * 1024


def keys(n: int) -> list[CacheKey]:
    return [CacheKey("t", "knowledge", "a long question " * 10, i) for i in range(n)]


MANY: dict[str, tuple[Any, Callable[[int], Any]]] = {
    "many short texts": (tuple[str, ...], lambda n: tuple(f"{n}.{i}" for i in range(5000))),
    "few short texts": (tuple[str, ...], lambda n: tuple(f"{n}.{i}" for i in range(500))),
    "a list": (list[str], lambda n: [f"{n}.{i}" for i in range(5000)]),
    "wide text": (str, lambda n: f"\N{GRINNING FACE}{n}" + "x" * 20_000),
    "numbers": (tuple[float, ...], lambda n: tuple(n + i / 7 for i in range(900))),
}


@pytest.mark.parametrize(("type_", "made"), MANY.values(), ids=MANY)
async def test_the_process_keeps_no_more_than_its_room(
    redis: RedisClient, type_: Any, made: Callable[[int], Any]
) -> None:
    async def fill(cache: Cache) -> None:
        for n, key in enumerate(keys(150)):

            async def load(n: int = n) -> Any:
                return made(n)

            task = asyncio.create_task(cache.get_or_load(key, load, ttl=600.0, type=type_))
            if n % 2:  # whoever asked for it is gone before it is there
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
        await asyncio.sleep(0.1)

    await fill(Cache(redis, CacheSettings(l1_bytes=1)))
    cache = Cache(redis, CacheSettings(l1_bytes=ROOM))
    gc.collect()
    tracemalloc.start()
    try:
        await fill(cache)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert cache._local._entries.current_size() <= ROOM
    assert taken < 2 * ROOM


async def test_a_value_of_many_parts_is_still_found_in_the_process(cache: Cache, counted: Counted) -> None:
    loads = 0

    async def load() -> tuple[int, ...]:
        nonlocal loads
        loads += 1
        return tuple(range(5000))

    for _ in range(3):
        assert await cache.get_or_load(KEY, load, type=tuple[int, ...]) == tuple(range(5000))
    assert counted() == {"miss": 1, "hit_l1": 2}
    assert loads == 1


async def test_a_key_of_many_parts_is_read_from_redis(cache: Cache, counted: Counted) -> None:
    key = CacheKey("t", "knowledge", *range(2000))
    for _ in range(2):
        assert await cache.get_or_load(key, Loader(), type=Answer) == Answer("loaded", 1)
    assert counted() == {"miss": 1, "hit_l2": 1}


async def test_a_value_larger_than_allowed_is_the_answer_and_not_stored(
    redis: RedisClient, counted: Counted
) -> None:
    cache = Cache(redis, CacheSettings(largest=1000))

    async def large() -> str:
        return "x" * 1000

    for _ in range(2):
        assert await cache.get_or_load(KEY, large, type=str) == "x" * 1000
    assert await redis.execute("EXISTS", KEY.redis_key, KEY.lease_key) == 0
    assert counted() == {"miss": 2, "unsaved": 2}
    await cache.set(KEY, "small", type=str)
    await cache.set(KEY, "x" * 1000, type=str)
    assert await cache.get(KEY, str) is MISSING
    assert counted()["unsaved"] == 3


async def test_a_loader_that_hangs_ends_without_being_told_how_long_it_may_take() -> None:
    assert Policy().hard_timeout == 30.0


async def test_a_hung_load_keeps_its_key_no_longer_than_its_limit(cache: Cache) -> None:
    policy = Policy(hard_timeout=0.2)
    with pytest.raises(LoadTimeout):
        await cache.get_or_load(KEY, Loader(asyncio.Event()), type=Answer, policy=policy)
    assert await cache.get_or_load(KEY, Loader(), type=Answer, policy=policy) == Answer("loaded", 1)


async def test_loads_that_wait_for_each_other_end(cache: Cache) -> None:
    policy = Policy(hard_timeout=0.3)
    one, two = CacheKey("t", "ring", 1), CacheKey("t", "ring", 2)
    both = asyncio.Barrier(2)

    def asks(other: CacheKey, loader: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[int]]:
        async def load() -> int:
            async with asyncio.timeout(1.0):
                await both.wait()
            return await cache.get_or_load(other, loader, type=int, policy=policy)

        return load

    async def never() -> int:
        raise AssertionError("joined, not begun")

    loads = (
        cache.get_or_load(one, asks(two, never), type=int, policy=policy),
        cache.get_or_load(two, asks(one, never), type=int, policy=policy),
    )
    outcomes = await asyncio.gather(*loads, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LoadTimeout, LoadTimeout]


async def test_a_servers_clock_that_is_set_back_lengthens_no_life(cache: Cache, redis: RedisClient) -> None:
    time, behind = Time(), Time()
    await Cache(redis, clock=time, now=time).get_or_load(
        KEY, Loader(), ttl=10.0, type=Answer, policy=Policy(jitter=0.0, stale=600.0)
    )
    behind.now -= 3600.0
    reader = Cache(redis, clock=time, now=behind)
    assert await reader.get(KEY, Answer) == Answer("loaded", 1)
    time.now += 10.1
    behind.now += 10.1
    entry = reader._local.get(KEY)
    assert entry is not None
    assert entry.fresh_until <= time.now


async def test_what_stood_in_for_one_caller_does_not_for_another_who_would_not_have_it(
    redis: RedisClient,
) -> None:
    time = Time()
    cache = Cache(redis, clock=time, now=time)
    safe, strict = Policy(fail_safe=600.0, hold=60.0, jitter=0.0), Policy(jitter=0.0)
    loader = Loader()
    await cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=safe)
    time.now += 20.0
    loader.error = OSError("down")
    for _ in range(2):
        assert await cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=safe) == Answer("loaded", 1)
    assert loader.calls == 2, "one try, then it stood in without another"
    for policy in (strict, Policy(stale=5.0, jitter=0.0), Policy(fail_safe=5.0, jitter=0.0)):
        with pytest.raises(OSError, match="down"):
            await cache.get_or_load(KEY, loader, ttl=10.0, type=Answer, policy=policy)


async def test_an_answer_of_another_type_is_named_as_such(cache: Cache) -> None:
    async def nothing() -> Any:
        return None

    with pytest.raises(NotOfType, match="NoneType") as caught:
        await cache.get_or_load(KEY, nothing, type=int)
    assert (caught.value.type_name, caught.value.value_type) == ("<class 'int'>", "NoneType")
    with pytest.raises(NotOfType, match="list"):
        await cache.set(KEY, ["seven"], type=list[int])


async def test_tags_given_as_a_text_are_refused(cache: Cache) -> None:
    for tags in ("catalogue", ["catalogue"], (1,)):
        wrong = cast("tuple[str, ...]", tags)
        with pytest.raises(TypeError, match="tuple of texts"):
            await cache.get_or_load(KEY, Loader(), type=Answer, tags=wrong)
        with pytest.raises(TypeError, match="tuple of texts"):
            cache.cached("prices", tags=wrong)


async def test_words_that_have_no_utf8_are_words_like_any_other(cache: Cache, far: Cache) -> None:
    key = CacheKey("t\ud800", "n\udfff", "q\ud800", b"\xff")
    for reader in (cache, far):
        answer = await reader.get_or_load(key, Loader(), type=Answer, tags=("\ud800",))
        assert answer == Answer("loaded", 1)
    await cache.invalidate("t\ud800", tag="\ud800")
    assert await far.get(key, Answer, tags=("\ud800",)) is MISSING


async def test_a_decorated_functions_parameters_may_be_named_by_what_only_checkers_know(
    cache: Cache,
) -> None:
    async def price(tenant_id: str, session: object) -> int:
        return 7

    price.__annotations__ = {"tenant_id": "str", "session": "Session", "return": "int"}
    cached = cache.cached("prices", ignore=("session",))(price)
    assert await cached("t", object()) == 7
    price.__annotations__["return"] = "Session"
    with pytest.raises(NameError, match="Session"):
        cache.cached("prices")(price)


async def test_refreshes_that_fail_are_counted_each_and_logged_now_and_then(
    redis: RedisClient, counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    time, policy = Time(), Policy(stale=600.0, jitter=0.0, early=0.0)
    cache, loader = Cache(redis, clock=time, now=time), Loader()
    asked = [CacheKey("t", "knowledge", n) for n in range(20)]

    def logged() -> int:
        return sum("cache.refresh_failed" in str(record.msg) for record in caplog.records)

    for key in asked:
        await cache.get_or_load(key, loader, ttl=10.0, type=Answer, policy=policy)
    time.now += 20.0
    loader.error = OSError("down")
    for key in asked:
        await cache.get_or_load(key, loader, ttl=10.0, type=Answer, policy=policy)
    await eventually(lambda: counted().get("refresh_failures") == 20)
    assert logged() == 1
    time.now += 1.5
    await cache.get_or_load(asked[0], loader, ttl=10.0, type=Answer, policy=policy)
    await eventually(lambda: logged() == 2)
