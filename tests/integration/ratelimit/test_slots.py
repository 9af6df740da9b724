"""A cluster cannot decide limits that lie in different hash slots, and says which."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sba_local.ports import free_port
from sba_local.valkey import EmbeddedValkey
from sba_ratelimit import Concurrency, Limit, Limiter, SlotsDiffer
from sba_resilience.redis import RedisClient, RedisSettings, open_redis

TENANT = Limit(9, per=60, key=("tenant", "t"), name="tenant")
USER = Limit(9, per=60, key=("tenant", "t", "user", "u"), name="user")
ADDRESS = Limit(9, per=60, key=("ip", "a"), name="address", on_outage="closed")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RedisClient]:
    """A cluster of one node that has every slot."""
    settings = {"cluster-enabled": "yes", "cluster-port": str(free_port())}
    server = EmbeddedValkey(tmp_path, password="of-a-throw-away-server", settings=settings, throwaway=True)
    server.start()
    try:
        async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
            await redis.execute("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            yield redis
    finally:
        server.stop()


async def test_limits_of_one_tenant_are_decided_together(cluster: RedisClient) -> None:
    limiter = Limiter(cluster, deny_for=0)
    while (await limiter.check([TENANT, USER])).outage:
        pass  # the cluster is forming
    assert (await limiter.check([TENANT, USER])).remaining is not None
    assert await limiter.refund([TENANT, USER])
    await limiter.reset([TENANT, USER])
    places = [Concurrency(1, key=limit.key, name=limit.name) for limit in (TENANT, USER)]
    async with limiter.hold(places) as hold:
        assert hold.allowed
        assert not hold.outage


async def test_however_long_or_odd_a_part_is_the_limits_of_one_tenant_are_decided_together(
    cluster: RedisClient,
) -> None:
    limiter = Limiter(cluster, deny_for=0)
    while (await limiter.check([TENANT])).outage:
        pass  # the cluster is forming
    for user in ("x" * 400, "\ud800", "é" * 400):
        limits = [TENANT, Limit(9, per=60, key=("tenant", "t", "user", user), name="user")]
        assert not (await limiter.check(limits)).outage
        assert await limiter.refund(limits)
        places = [Concurrency(1, key=limit.key, name=limit.name) for limit in limits]
        async with limiter.hold(places) as hold:
            assert hold.allowed
            assert not hold.outage


async def test_limits_of_different_slots_are_an_error_of_the_program_not_an_outage(
    cluster: RedisClient,
) -> None:
    limiter = Limiter(cluster, deny_for=0)
    while (await limiter.check([TENANT])).outage:
        pass  # the cluster is forming
    limits = [TENANT, USER, ADDRESS]
    for asked in (limiter.check, limiter.peek, limiter.refund, limiter.reset):
        with pytest.raises(SlotsDiffer, match="first two parts") as caught:
            await asked(limits)
        assert (caught.value.one, caught.value.other) == ("tenant", "address")
    places = [Concurrency(1, key=limit.key, name=limit.name) for limit in limits]
    with pytest.raises(SlotsDiffer):
        async with limiter.hold(places):
            raise AssertionError("never entered")
