"""Ask, set, delete, decorate and warm up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from sba_cache import MISSING, Cache, CacheKey, NotCacheable
from sba_resilience.redis import RedisClient
from tests.integration.cache.answers import KEY, Answer, Loader
from tests.integration.resilience.faults import eventually

Counted = Callable[[], dict[str, int]]


async def test_what_is_not_there_is_missing_and_nothing_may_be_a_value(
    cache: Cache, counted: Counted
) -> None:
    assert await cache.get(KEY) is MISSING
    await cache.set(KEY, None)
    assert await cache.get(KEY) is None
    assert counted() == {"miss": 1, "hit_l2": 1}


async def test_what_is_set_is_read_on_every_level_and_by_the_next_load(
    cache: Cache, far: Cache, other: Cache
) -> None:
    await cache.set(KEY, Answer("set", 1), type=Answer, tags=("a",))
    never = Loader()
    for reader in (cache, far, other, cache):
        assert await reader.get(KEY, Answer, tags=("a",)) == Answer("set", 1)
        assert await reader.get_or_load(KEY, never, type=Answer, tags=("a",)) == Answer("set", 1)
    assert never.calls == 0


async def test_what_is_set_replaces_what_is_there_at_once(cache: Cache) -> None:
    await cache.get_or_load(KEY, Loader(), type=Answer)
    for n in range(20):
        await cache.set(KEY, Answer("set", n), type=Answer)
        assert await cache.get(KEY, Answer) == Answer("set", n)


async def test_what_is_set_is_not_overwritten_by_a_load_that_was_under_way(cache: Cache, far: Cache) -> None:
    old = Loader(gate := asyncio.Event(), "old")
    loading = asyncio.ensure_future(cache.get_or_load(KEY, old, type=Answer))
    await eventually(lambda: old.calls == 1)
    await far.set(KEY, Answer("set", 1), type=Answer)
    gate.set()
    assert await loading == Answer("old", 1)
    assert await far.get(KEY, Answer) == Answer("set", 1)


async def test_what_is_set_can_be_invalidated(cache: Cache) -> None:
    await cache.set(KEY, 1, type=int, tags=("a",))
    await cache.invalidate("t", tag="a")
    assert await cache.get(KEY, int, tags=("a",)) is MISSING


async def test_what_is_set_is_of_its_type(cache: Cache) -> None:
    with pytest.raises(NotCacheable):
        await cache.set(KEY, "seven", type=int)
    with pytest.raises(ValueError, match="ttl"):
        await cache.set(KEY, 7, ttl=0.0)


async def test_versions_outlive_what_is_set(cache: Cache, redis: RedisClient) -> None:
    month = 30 * 86400.0
    await cache.set(KEY, 1, ttl=1.0)
    await cache.set(KEY, 1, ttl=month)
    assert await redis.execute("TTL", KEY.version_key) > month


async def test_what_is_deleted_is_gone_on_every_level(cache: Cache, far: Cache) -> None:
    await cache.get_or_load(KEY, Loader(), type=Answer, tags=("a",))
    await cache.delete(KEY)
    for reader in (cache, far):
        assert await reader.get(KEY, Answer, tags=("a",)) is MISSING


async def test_a_load_under_way_for_a_deleted_value_does_not_become_visible(cache: Cache, far: Cache) -> None:
    old = Loader(gate := asyncio.Event(), "old")
    loading = asyncio.ensure_future(cache.get_or_load(KEY, old, type=Answer))
    await eventually(lambda: old.calls == 1)
    await cache.delete(KEY)
    fresh = Loader(text="new")
    assert await cache.get_or_load(KEY, fresh, type=Answer) == Answer("new", 1)
    gate.set()
    await loading
    for reader in (cache, far):
        assert await reader.get(KEY, Answer) == Answer("new", 1)


class Service:
    """Answers with how often it was asked."""

    def __init__(self, cache: Cache) -> None:
        self.calls = 0
        self.find = cache.cached("knowledge", tenant="tenant_id", ignore=("session",), tags=("a",))(
            self._find
        )

    async def _find(
        self, tenant_id: UUID, query: str, *, limit: int = 10, session: object = None, **more: int
    ) -> Answer:
        self.calls += 1
        return Answer(f"{query}/{limit}", self.calls)


async def test_a_decorated_function_is_asked_once_for_the_same_arguments(cache: Cache) -> None:
    service, tenant = Service(cache), uuid4()
    first = await service.find(tenant, "q", limit=10, session=object())
    assert first == await service.find(tenant_id=tenant, query="q") == Answer("q/10", 1)
    assert await service.find(tenant, "q", a=1, b=2) == await service.find(tenant, "q", b=2, a=1)
    assert service.calls == 2
    await service.find(tenant, "q", limit=11)
    await service.find(uuid4(), "q")
    assert service.calls == 4
    await cache.invalidate(tenant, tag="a")
    await service.find(tenant, "q")
    assert service.calls == 5


async def test_two_decorated_functions_never_answer_for_each_other(cache: Cache) -> None:
    @cache.cached("knowledge")
    async def one(tenant_id: str, query: str) -> str:
        return f"one {query}"

    @cache.cached("knowledge")
    async def two(tenant_id: str, query: str) -> str:
        return f"two {query}"

    assert (await one("t", "q"), await two("t", "q")) == ("one q", "two q")
    assert one.__name__ == "one"


async def test_a_decorated_function_needs_its_tenant_and_lasting_arguments(cache: Cache) -> None:
    async def plain(query: object) -> str:
        return "never"

    with pytest.raises(TypeError, match="tenant_id"):
        cache.cached("knowledge")(plain)
    with pytest.raises(TypeError, match="nothing"):
        cache.cached("knowledge", tenant="query", ignore=("nothing",))(plain)

    @cache.cached("knowledge")
    async def of_anything(tenant_id: str, query: object) -> str:
        return "never"

    with pytest.raises(TypeError, match="part of a key"):
        await of_anything("t", object())


async def test_a_warm_up_loads_what_is_not_there_a_few_at_a_time(cache: Cache) -> None:
    running = most = 0

    class Counting(Loader):
        async def __call__(self) -> Answer:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return await super().__call__()

    keys = [CacheKey("t", "knowledge", n) for n in range(20)]
    await cache.get_or_load(keys[0], Loader(), type=Answer)
    loaders = [Counting() for _ in keys]
    loaders[3].error = OSError("source")
    warmed = await cache.warm(zip(keys, loaders, strict=True), type=Answer, concurrency=4)
    assert warmed.ready == 19
    assert {key: type(error) for key, error in warmed.failed.items()} == {keys[3]: OSError}
    assert most <= 4
    assert [loader.calls for loader in loaders] == [0] + [1] * 19
    with pytest.raises(ValueError, match="concurrency"):
        await cache.warm([], concurrency=0)
