"""Limits on trial: counted, reported, never in the way."""

from __future__ import annotations

import pytest

from sba_ratelimit import Limit, Limiter
from sba_ratelimit.limit import Algorithm
from sba_ratelimit.limiter import _refusals
from sba_resilience.redis import RedisClient

REAL = Limit(5, per=3600, key=("tenant", "t"), name="real")


def trial(algorithm: Algorithm, count: int = 2) -> Limit:
    return Limit(count, per=3600, key=("tenant", "t"), name="trial", algorithm=algorithm, shadow=True)


@pytest.fixture(params=["gcra", "sliding_window"])
def shadow(request: pytest.FixtureRequest) -> Limit:
    return trial(request.param)


async def test_a_shadow_limit_never_refuses_and_says_when_it_would_have(
    limiter: Limiter, shadow: Limit
) -> None:
    before = _refusals.cell({"limit": "trial", "shadow": True}).count
    decisions = [await limiter.check([shadow, REAL]) for _ in range(4)]
    assert all(decision.allowed for decision in decisions)
    assert [len(decision.shadowed) for decision in decisions] == [0, 0, 1, 1]
    assert decisions[3].shadowed[0].limit == shadow
    assert decisions[3].shadowed[0].retry_after > 0
    assert [state.limit for state in decisions[3].limits] == [REAL]
    assert "trial" not in str(decisions[3].headers())
    assert decisions[3].remaining == 1
    assert _refusals.cell({"limit": "trial", "shadow": True}).count == before + 2


async def test_a_refusal_by_another_limit_takes_nothing_from_a_shadow_limit(
    limiter: Limiter, shadow: Limit
) -> None:
    await limiter.check([REAL], cost=5)
    for _ in range(3):
        assert not (await limiter.check([shadow, REAL])).allowed
    assert not (await limiter.peek([shadow], cost=2)).shadowed


async def test_a_cost_beyond_a_shadow_limit_is_no_error(limiter: Limiter, shadow: Limit) -> None:
    decision = await limiter.check([shadow, REAL], cost=3)
    assert decision.allowed
    assert decision.shadowed[0].retry_after > 0
    assert not (await limiter.peek([shadow], cost=2)).shadowed


async def test_a_shadow_limit_that_is_enforced_later_has_counted_already(limiter: Limiter) -> None:
    await limiter.check([trial("gcra")], cost=2)
    enforced = Limit(2, per=3600, key=("tenant", "t"), name="trial")
    assert not (await limiter.check([enforced])).allowed


async def test_in_an_outage_shadow_limits_have_no_say(redis: RedisClient, limiter: Limiter) -> None:
    closed = Limit(1, per=60, key=("tenant", "t"), on_outage="closed", shadow=True)
    await redis.execute("ACL", "SETUSER", "default", "-evalsha", "-eval")
    try:
        decision = await limiter.check([closed])
    finally:
        await redis.execute("ACL", "SETUSER", "default", "+@all")
    assert decision.allowed
    assert decision.outage
