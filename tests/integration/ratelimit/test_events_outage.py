"""Events while Redis is away: each limit keeps its policy, and nobody waits for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sba_ratelimit import Limit, Limiter
from sba_ratelimit.events import EventLimiter
from sba_resilience.redis import RedisSettings, open_redis
from tests.integration.resilience.faults import Server, eventually

OPEN = Limit(1, per=60, key=("tenant", "t"), name="open", on_outage="open")
CLOSED = Limit(1, per=60, key=("tenant", "t"), name="closed", on_outage="closed")
LOCAL = Limit(10, per=60, key=("tenant", "t"), name="local", on_outage="local")


@pytest.fixture
async def cut_off(server: Server) -> AsyncIterator[EventLimiter]:
    """One of five nodes whose server is gone."""
    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        async with EventLimiter(Limiter(redis, nodes=5), nodes=5) as events:
            yield events


async def test_open_admits(cut_off: EventLimiter) -> None:
    verdicts = await asyncio.gather(*(cut_off.take((OPEN,)) for _ in range(30)))
    assert all(verdict.allowed for verdict in verdicts)


async def test_closed_refuses_as_an_outage_and_stops_no_other_limit(cut_off: EventLimiter) -> None:
    verdict = await cut_off.take((OPEN, CLOSED))
    assert (verdict.allowed, verdict.outage) == (False, True)
    assert 0 < verdict.retry_after <= 1
    again = cut_off.take_now((CLOSED,))
    assert again is not None
    assert again.outage
    assert (await cut_off.take((OPEN,))).allowed


async def test_local_admits_this_nodes_share_and_no_more(cut_off: EventLimiter) -> None:
    verdicts = await asyncio.gather(*(cut_off.take((OPEN, LOCAL)) for _ in range(20)))
    assert sum(verdict.allowed for verdict in verdicts) == 2
    assert all(verdict.outage for verdict in verdicts if not verdict.allowed)


async def test_a_frozen_server_answers_by_policy_and_counting_resumes(server: Server) -> None:
    limit = Limit(1_000, per=3600, key=("tenant", "t"), name="resumes")
    async with open_redis(RedisSettings(server.url)) as redis:
        limiter = Limiter(redis)
        async with EventLimiter(limiter, block=2) as events:
            assert (await events.take((limit,))).allowed
            with server.frozen():
                verdicts = await asyncio.gather(*(events.take((limit,)) for _ in range(50)))
                assert all(verdict.allowed for verdict in verdicts)

            async def counted() -> bool:
                await events.take((limit,))
                return (await limiter.peek([limit])).remaining not in {None, 1_000, 999, 998}

            await eventually(counted)
