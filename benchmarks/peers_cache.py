"""The same knowledge answer, kept and read by each library as its documentation says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias
from urllib.parse import unquote, urlsplit
from uuid import UUID

import aiocache  # type: ignore[import-untyped]  # it has no types
import cashews
import msgspec
from aiocache.serializers import PickleSerializer  # type: ignore[import-untyped]  # it has no types
from redis.asyncio import Redis

from sba_cache import Cache, CacheKey, CacheSettings
from sba_resilience.redis import RedisSettings, open_redis

Burst: TypeAlias = Callable[[int], Awaitable[None]]
"""Read the answer so many times in a row."""

TENANT = UUID("0190f000-0000-7000-8000-000000000001")
QUESTION = "how long may an invoice stay open before a reminder is sent?"
KEPT = 3600.0
PATIENT = 2.0  # seconds; a benchmark on a busy machine is no outage


class Passage(msgspec.Struct, frozen=True):
    """One place in a document."""

    document: str
    text: str
    score: float


class Answer(msgspec.Struct, frozen=True):
    """What a knowledge query finds."""

    passages: tuple[Passage, ...]


class Draft(msgspec.Struct):
    """The same, as a value its reader may change."""

    passages: list[Passage]


PASSAGES = [
    Passage(f"handbook/{place}.md", f"Passage {place}: " + "an invoice is open until it is paid. " * 4, 0.9)
    for place in range(8)
]
ANSWER = Answer(tuple(PASSAGES))


async def answered() -> Answer:
    """The load behind the cache."""
    return ANSWER


async def drafted() -> Draft:
    """The load of the changeable form."""
    return Draft(list(PASSAGES))


@asynccontextmanager
async def shipped(url: str, *, near: bool = True) -> AsyncIterator[Burst]:
    """Ours: `get_or_load` with a key made for each read; `near` keeps the level in the process."""
    async with open_redis(RedisSettings(url, command_timeout=PATIENT)) as redis:
        cache = Cache(redis) if near else Cache(redis, settings=CacheSettings(l1_bytes=0))

        async def burst(count: int) -> None:
            for _ in range(count):
                key = CacheKey(TENANT, "knowledge", QUESTION, 10)
                await cache.get_or_load(key, answered, ttl=KEPT, type=Answer)

        yield burst


@asynccontextmanager
async def shipped_changeable(url: str) -> AsyncIterator[Burst]:
    """Ours in the process, of a type that every reader gets a copy of."""
    async with open_redis(RedisSettings(url, command_timeout=PATIENT)) as redis:
        cache = Cache(redis)

        async def burst(count: int) -> None:
            for _ in range(count):
                key = CacheKey(TENANT, "drafts", QUESTION, 10)
                await cache.get_or_load(key, drafted, ttl=KEPT, type=Draft)

        yield burst


@asynccontextmanager
async def redis_get(url: str, *, decode: bool) -> AsyncIterator[Burst]:
    """A GET by redis-py of the bytes ours keeps in Redis; or of the bare answer, decoded by msgspec."""
    client: Redis = Redis.from_url(url)
    decoder = msgspec.msgpack.Decoder(Answer)
    packed = msgspec.msgpack.encode(ANSWER)
    await client.set("bench:get", packed if decode else await stored(url, client))

    async def plain(count: int) -> None:
        for _ in range(count):
            assert await client.get("bench:get")

    async def decoded(count: int) -> None:
        for _ in range(count):
            decoder.decode(await client.get("bench:get"))  # type: ignore[arg-type]  # bytes, as sent

    yield decoded if decode else plain
    await client.aclose()


async def stored(url: str, client: Redis) -> bytes:
    """The record of the answer, as our cache stores it."""
    key = CacheKey(TENANT, "knowledge", QUESTION, 10)
    async with shipped(url, near=False) as burst:
        await burst(2)
    found = await client.get(key.redis_key)
    assert isinstance(found, bytes)
    return found


@asynccontextmanager
async def cashews_on(url: str) -> AsyncIterator[Burst]:
    """The `get` of cashews, on Redis (pickled) or in memory (`mem://`, the object itself)."""
    cache = cashews.Cache()
    cache.setup(url)
    await cache.set(f"knowledge:{TENANT}:{QUESTION}:10", ANSWER, expire=KEPT)

    async def burst(count: int) -> None:
        for _ in range(count):
            assert await cache.get(f"knowledge:{TENANT}:{QUESTION}:10")

    yield burst
    await cache.close()


@asynccontextmanager
async def cashews_decorated() -> AsyncIterator[Burst]:
    """The decorator of cashews in memory: its form of get-or-load."""
    cache = cashews.Cache()
    cache.setup("mem://")

    @cache(ttl=KEPT, key="knowledge:{tenant}:{question}:{limit}")
    async def ask(tenant: UUID, question: str, limit: int) -> Answer:
        del tenant, question, limit
        return ANSWER

    async def burst(count: int) -> None:
        for _ in range(count):
            await ask(TENANT, QUESTION, 10)

    yield burst
    await cache.close()


@asynccontextmanager
async def aiocache_on(url: str) -> AsyncIterator[Burst]:
    """The `get` of aiocache on Redis, pickled."""
    parts = urlsplit(url)
    cache = aiocache.Cache(
        aiocache.Cache.REDIS,
        endpoint=parts.hostname,
        port=parts.port,
        password=unquote(parts.password or "") or None,
        serializer=PickleSerializer(),
    )
    key = f"knowledge:{TENANT}:{QUESTION}:10"
    await cache.set(key, ANSWER, ttl=KEPT)

    async def burst(count: int) -> None:
        for _ in range(count):
            assert await cache.get(f"knowledge:{TENANT}:{QUESTION}:10")

    yield burst
    await cache.close()
