"""Nodes that share one server, each with a client and a wire of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis

from sba_cache import Cache, CacheKey, CacheSettings
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.cache.wires import Wire, wired

TENANT = "tenant"
SPACE = "knowledge"
TAG = "handbook"
TAGS = (TAG,)


@dataclass
class Node:
    """One process, as far as the cache can tell.

    Attributes:
        name: For messages.
        near: Whether it keeps values in the process.
    """

    name: str
    redis: RedisClient
    cache: Cache
    wire: Wire
    near: bool

    def connection(self) -> tuple[bool, int]:
        """Whether Redis can be asked, and which connection it is."""
        return self.wire.up and self.redis.state == "closed", self.wire.breaks

    async def read(self, key: CacheKey, load: Callable[[], int]) -> int:
        """Ask with a load that answers at once."""

        async def loaded() -> int:
            return load()

        return await self.cache.get_or_load(key, loaded, ttl=600.0, type=int, tags=TAGS)


@dataclass
class Hand:
    """A clock that goes when it is told to."""

    now: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def node(
    url: str, name: str, *, near: bool = True, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Node]:
    settings = CacheSettings() if near else CacheSettings(l1_bytes=0)
    async with wired(url) as (wire, way), open_redis(RedisSettings(way, command_timeout=5.0)) as redis:
        yield Node(name, redis, Cache(redis, settings=settings, clock=clock), wire, near)


@asynccontextmanager
async def nodes(url: str, clocks: dict[str, Callable[[], float]]) -> AsyncIterator[list[Node]]:
    """Nodes by name, each hearing of changes; the last one keeps nothing in the process."""
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(node(url, name, clock=clock)) for name, clock in clocks.items()
        ]
        opened.append(await stack.enter_async_context(node(url, "far", near=False)))
        for each in opened[:-1]:
            await each.read(CacheKey(TENANT, "warm-up", each.name), lambda: 0)
            await hearing(each)
        yield opened


async def hearing(each: Node) -> None:
    """Wait until the node hears of changes."""
    watch = each.redis.watch("sba:cv:test-of-hearing", lambda _: None)
    async with asyncio.timeout(30.0):
        await watch.ready()
    watch.close()


async def kill_hearers(admin: Redis) -> int:
    """CLIENT KILL every connection that hears of changes."""
    hearers = [client["id"] for client in await admin.client_list() if "t" in client["flags"]]
    for client in hearers:
        with contextlib.suppress(Exception):
            await admin.client_kill_filter(_id=client)
    return len(hearers)
