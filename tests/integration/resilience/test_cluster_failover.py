"""A primary of a cluster is killed: who notices, and what goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from sba_cache import Cache, CacheKey
from sba_ratelimit import Limit, Limiter
from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, open_redis
from tests.integration.resilience.cluster_servers import Cluster
from tests.integration.resilience.faults import eventually, works


@pytest.fixture
async def redis(cluster: Cluster) -> AsyncIterator[RedisClient]:
    await eventually(cluster.settled, within=20)
    for primary in cluster.primaries:
        primary.ask("FLUSHALL")
    async with open_redis(RedisSettings(cluster.url, command_timeout=2.0)) as client:
        yield client


async def test_limits_and_cached_values_survive_a_failover(redis: RedisClient, cluster: Cluster) -> None:
    tenants = [UUID(int=n) for n in range(9)]
    limiter, cache = Limiter(redis), Cache(redis)

    async def use(tenant: UUID, loaded: str) -> str:
        limits = [Limit(9, per=3600, key=("tenant", tenant), name=name) for name in ("a", "b", "c")]
        decision = await limiter.check(limits)
        assert (decision.allowed, decision.outage) == (True, False)

        async def load() -> str:
            return loaded

        return await cache.get_or_load(CacheKey(tenant, "answers", "q"), load, ttl=60, type=str)

    assert [await use(tenant, "old") for tenant in tenants] == ["old"] * 9
    assert [await use(tenant, "new") for tenant in tenants] == ["old"] * 9
    for tenant in tenants[:4]:
        await cache.invalidate(tenant, "answers")
    assert [await use(tenant, "new") for tenant in tenants] == ["new"] * 4 + ["old"] * 5

    victim, *others = cluster.primaries
    lost, kept = cluster.key_at(victim), [cluster.key_at(other) for other in others]
    with cluster.without(victim):
        with pytest.raises(RedisUnavailable):
            await redis.execute("GET", lost)
        assert await asyncio.gather(*(redis.execute("GET", key) for key in kept)) == [None, None]
        await eventually(lambda: works(redis, lost), within=20)
        await redis.ping()
        assert redis.state == "closed"
        assert {await use(tenant, "newer") for tenant in tenants} <= {"old", "new", "newer"}
        for tenant in tenants:
            await cache.invalidate(tenant, "answers")
        assert [await use(tenant, "newest") for tenant in tenants] == ["newest"] * 9
