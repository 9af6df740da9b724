"""Denials remembered on one node, and what other nodes do to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from sba_ratelimit import Limit, Limiter
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.resilience.faults import Server, eventually

ONE = Limit(1, per=36_000, key=("tenant", "t"), name="one")
WINDOW = Limit(1, per=36_000, key=("tenant", "t"), name="window", algorithm="sliding_window")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


async def scripts(redis: RedisClient) -> int:
    stats = (await redis.execute("INFO", "commandstats")).decode()
    return int(stats.split("cmdstat_evalsha:calls=")[1].split(",")[0])


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[Limiter]:
    """Another node."""
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as client:
        yield Limiter(client)


async def denied_with_news(redis: RedisClient, limit: Limit) -> tuple[Limiter, Clock]:
    """A node that remembers a denial and hears of changes."""
    clock = Clock()
    limiter = Limiter(redis, clock=clock)
    assert (await limiter.check([limit])).allowed
    assert not (await limiter.check([limit])).allowed
    watch = limiter._denied._watch
    assert watch is not None
    await redis.watch("sba:rlc:", lambda key: None).ready()
    await eventually(lambda: watch.live_until > watch.clock())
    clock.now += 2
    assert not (await limiter.check([limit])).allowed
    return limiter, clock


@pytest.mark.parametrize("limit", [ONE, WINDOW], ids=["gcra", "sliding_window"])
async def test_a_denied_key_costs_no_command_until_its_reset(redis: RedisClient, limit: Limit) -> None:
    limiter, clock = await denied_with_news(redis, limit)
    before = await scripts(redis)
    for _ in range(100):
        clock.now += 300
        assert not (await limiter.check([limit])).allowed
    assert await scripts(redis) == before
    clock.now += 6_100
    assert not (await limiter.check([limit])).allowed
    assert await scripts(redis) == before + 1


@pytest.mark.parametrize("limit", [ONE, WINDOW], ids=["gcra", "sliding_window"])
@pytest.mark.parametrize("action", ["refund", "reset"])
async def test_what_another_node_gives_back_is_seen_here(
    redis: RedisClient, other: Limiter, limit: Limit, action: str
) -> None:
    limiter, _ = await denied_with_news(redis, limit)
    await getattr(other, action)([limit])

    async def admitted() -> bool:
        return (await limiter.check([limit])).allowed

    await eventually(admitted)


async def test_a_changed_plan_is_never_denied_by_the_old_one(redis: RedisClient) -> None:
    limiter, _ = await denied_with_news(redis, WINDOW)
    larger = Limit(2, per=36_000, key=WINDOW.key, name=WINDOW.name, algorithm="sliding_window")
    assert (await limiter.check([larger])).allowed
    assert not (await limiter.check([larger])).allowed
    assert not (await limiter.check([WINDOW])).allowed


async def test_without_news_redis_is_asked_again_after_a_while(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        await redis.execute("ACL", "SETUSER", "default", "-client|tracking")
        clock = Clock()
        limiter = Limiter(redis, clock=clock)
        await limiter.check([ONE])
        for _ in range(3):
            before = await scripts(redis)
            assert not (await limiter.check([ONE])).allowed
            clock.now += 0.9
            assert not (await limiter.check([ONE])).allowed
            assert await scripts(redis) == before + 1
            clock.now += 0.2


async def test_a_flush_is_seen_within_a_while(redis: RedisClient) -> None:
    limiter, clock = await denied_with_news(redis, ONE)
    epoch = limiter._denied._watch.epoch
    await redis.execute("FLUSHALL")
    await eventually(lambda: limiter._denied._watch.epoch > epoch)
    clock.now += 1
    assert (await limiter.check([ONE])).allowed
