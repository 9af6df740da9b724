"""Three limits on one request, decided by each library as its documentation says for asyncio and Redis.

A request of tenant `n` is counted by tenant, by user and by route, a million a minute each, so that all are
admitted. Peers have no combined check: they are asked three times, one after the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TypeAlias

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from pyrate_limiter import AbstractBucket, BucketFactory, Duration, Rate, RateItem, RedisBucket
from pyrate_limiter import Limiter as PyrateLimiter
from redis.asyncio import Redis
from throttled.asyncio import RateLimiterType, Throttled, rate_limiter, store

from sba_ratelimit import Limit, Limiter
from sba_resilience.redis import RedisSettings, open_redis

Check: TypeAlias = Callable[[int], Awaitable[bool]]
"""Whether a request of that tenant was admitted, and counted by Redis."""

TENANTS = 64
MILLION = 1_000_000
NAMES = ("tenant", "user", "route")
USER = "9f1c2a52-64d0-4a5e-9d0b-3a3c1a7a9d11"
ROUTE = "POST /v1/runs"
IDS = [f"0190f000-0000-7000-8000-{n:012d}" for n in range(TENANTS)]


def limits_of(tenant: int) -> list[Limit]:
    """Made for each request, as a service does."""
    name = IDS[tenant]
    return [
        Limit(MILLION, per=60, key=("tenant", name), name="tenant"),
        Limit(MILLION, per=60, key=("tenant", name, "user", USER), name="user"),
        Limit(MILLION, per=60, key=("tenant", name, "route", ROUTE), name="route"),
    ]


@asynccontextmanager
async def shipped(url: str) -> AsyncIterator[Check]:
    """Ours, with every default on."""
    async with open_redis(RedisSettings(url)) as redis:
        limiter = Limiter(redis)

        async def check(tenant: int) -> bool:
            decision = await limiter.check(limits_of(tenant))
            return decision.allowed and not decision.outage

        yield check


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Check]:
    """The same script by `EVALSHA` on redis-py, its words made beforehand, its reply not looked at."""
    script = (files("sba_ratelimit") / "scripts" / "gcra.lua").read_text()
    async with Redis.from_url(url) as redis:
        sha = await redis.script_load(script)
        words: list[tuple[str | int, ...]] = [
            (
                *(limit.redis_key for limit in limits_of(tenant)),
                1,
                1,
                *(number for limit in limits_of(tenant) for number in (limit.unit, limit.capacity)),
            )
            for tenant in range(TENANTS)
        ]

        async def check(tenant: int) -> bool:
            reply: list[int] = await redis.evalsha(sha, 3, *words[tenant])
            return reply[0] == 1

        yield check


@asynccontextmanager
async def with_limits(url: str) -> AsyncIterator[Check]:
    """limits: the fixed window, its fastest strategy on Redis and the least exact."""
    storage = RedisStorage(f"async+{url}", implementation="redispy")
    limiter = FixedWindowRateLimiter(storage)
    item = RateLimitItemPerMinute(MILLION)

    async def check(tenant: int) -> bool:
        name = IDS[tenant]
        return (
            await limiter.hit(item, "tenant", name)
            and await limiter.hit(item, "user", name, USER)
            and await limiter.hit(item, "route", name, ROUTE)
        )

    yield check
    await storage.bridge.storage.aclose()  # type: ignore[attr-defined]  # the redis-py client


@asynccontextmanager
async def with_throttled(url: str) -> AsyncIterator[Check]:
    """throttled-py: GCRA, as ours."""
    shared = store.RedisStore(server=url)
    quota = rate_limiter.per_min(MILLION, burst=MILLION)
    throttles = [Throttled(using=RateLimiterType.GCRA.value, quota=quota, store=shared) for _ in NAMES]

    async def check(tenant: int) -> bool:
        for name, throttle in zip(NAMES, throttles, strict=True):
            if (await throttle.limit(f"{name}:{IDS[tenant]}:{USER}:{ROUTE}")).limited:
                return False
        return True

    yield check
    await shared._backend.get_client().aclose()  # type: ignore[attr-defined]  # noqa: SLF001 - it has no close


class _Buckets(BucketFactory):
    """A bucket for each name, made beforehand."""

    def __init__(self, buckets: dict[str, RedisBucket]) -> None:
        self._buckets = buckets

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        now: int = self._buckets[name].now()  # type: ignore[no-untyped-call]  # untyped there
        return RateItem(name, now, weight=weight)

    def get(self, item: RateItem) -> AbstractBucket:
        return self._buckets[item.name]


@asynccontextmanager
async def with_pyrate(url: str) -> AsyncIterator[Check]:
    """pyrate-limiter: its sliding log, the only one it has on Redis."""
    async with Redis.from_url(url) as redis:
        rates = [Rate(MILLION, Duration.MINUTE)]
        buckets = {
            f"{name}:{tenant}": await RedisBucket.init(rates, redis, f"pyrate:{name}:{tenant}")
            for name in NAMES
            for tenant in IDS
        }
        limiter = PyrateLimiter(_Buckets(buckets))

        async def check(tenant: int) -> bool:
            for name in NAMES:
                if not await limiter.try_acquire_async(f"{name}:{IDS[tenant]}", blocking=False):
                    return False
            return True

        yield check


CONTENDERS = {
    "shipped": shipped,
    "redis_py": bare,
    "limits": with_limits,
    "throttled": with_throttled,
    "pyrate": with_pyrate,
}
