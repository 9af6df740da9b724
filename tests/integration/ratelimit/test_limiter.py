"""Decisions by the real script on the real server."""

from __future__ import annotations

import asyncio

import pytest

from sba_ratelimit import Concurrency, CostTooLarge, Decision, Limit, Limiter
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.resilience.faults import eventually

SLOW = Limit(3, per=3600, key=("tenant", "t"), name="tenant")
OTHER = Limit(10, per=3600, key=("tenant", "t", "user", "u"), name="user")
SLIDING = Limit(3, per=3600, key=("tenant", "t"), name="sliding", algorithm="sliding_window")


def remaining(decision: Decision) -> list[int]:
    return [state.remaining for state in decision.limits]


async def scripts(redis: RedisClient) -> int:
    """Scripts the server has run; the connection that watches keys sends commands of its own."""
    stats = (await redis.execute("INFO", "commandstats")).decode()
    return int(stats.split("cmdstat_evalsha:calls=")[1].split(",")[0])


async def test_a_burst_is_admitted_and_the_next_one_denied(limiter: Limiter) -> None:
    decisions = [await limiter.check([SLOW]) for _ in range(4)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False]
    assert [decision.remaining for decision in decisions] == [2, 1, 0, 0]
    assert 1199 < decisions[3].retry_after <= 1200
    assert not decisions[3].outage


async def test_a_denial_takes_nothing_from_the_other_limits(limiter: Limiter) -> None:
    for _ in range(3):
        await limiter.check([SLOW, OTHER])
    denied = await limiter.check([SLOW, OTHER])
    assert not denied.allowed
    assert remaining(denied) == [0, 7]
    assert remaining(await limiter.peek([OTHER])) == [7]
    assert (await limiter.check([OTHER])).allowed


async def test_any_number_of_limits_is_one_command(redis: RedisClient, limiter: Limiter) -> None:
    limits = [Limit(9, per=9, key=("tenant", "t"), name=f"l{n}") for n in range(8)]
    await limiter.check(limits)
    before = await scripts(redis)
    await limiter.check(limits)
    assert await scripts(redis) == before + 1


async def test_a_cost_is_taken_whole_or_not_at_all(limiter: Limiter) -> None:
    assert remaining(await limiter.check([OTHER], cost=8)) == [2]
    denied = await limiter.check([OTHER], cost=3)
    assert not denied.allowed
    assert remaining(denied) == [2]
    assert (await limiter.check([OTHER], cost=2)).allowed
    assert remaining(await limiter.check([OTHER], cost=0)) == [0]


async def test_a_cost_that_can_never_be_had_is_an_error(limiter: Limiter) -> None:
    with pytest.raises(CostTooLarge) as caught:
        await limiter.check([OTHER, SLOW], cost=4)
    assert (caught.value.name, caught.value.cost, caught.value.burst) == ("tenant", 4, 3)


async def test_misuse_is_refused(limiter: Limiter) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        await limiter.check([SLOW], cost=-1)
    with pytest.raises(ValueError, match="different names or keys"):
        await limiter.check([SLOW, Limit(5, per=1, key=("tenant", "t"), name="tenant")])


async def test_no_limits_means_allowed(limiter: Limiter) -> None:
    assert await limiter.check([]) == Decision(allowed=True, limits=())
    assert await limiter.refund([])
    await limiter.reset([])


async def test_peeking_takes_nothing(limiter: Limiter) -> None:
    for _ in range(5):
        seen = await limiter.peek([SLOW], cost=2)
        assert seen.allowed
        assert seen.remaining == 3


async def test_a_refund_gives_back_and_never_more_than_was_taken(limiter: Limiter) -> None:
    await limiter.check([SLOW, OTHER], cost=2)
    assert await limiter.refund([SLOW, OTHER])
    assert remaining(await limiter.peek([SLOW, OTHER])) == [2, 9]
    assert await limiter.refund([SLOW, OTHER], cost=3)
    assert remaining(await limiter.peek([SLOW, OTHER])) == [3, 10]
    assert await limiter.refund([SLOW])
    assert remaining(await limiter.peek([SLOW])) == [3]


async def test_a_reset_makes_a_limit_full(limiter: Limiter) -> None:
    await limiter.check([SLOW, OTHER], cost=3)
    await limiter.reset([SLOW, OTHER])
    assert remaining(await limiter.peek([SLOW, OTHER])) == [3, 10]


async def test_a_spent_unit_comes_back(limiter: Limiter) -> None:
    quick = Limit(20, per=1, key=("ip", "a"), burst=1)
    assert (await limiter.check([quick])).allowed
    denied = await limiter.check([quick])
    assert not denied.allowed
    await asyncio.sleep(denied.retry_after)
    assert (await limiter.check([quick])).allowed


async def test_a_client_that_obeys_retry_after_is_admitted_next(redis: RedisClient) -> None:
    limiter = Limiter(redis)
    limit = Limit(3, per=1, key=("ip", "a"), burst=1)
    for _ in range(3):
        await eventually(lambda: _allowed(limiter, limit))
        denied = await limiter.check([limit])
        while denied.allowed:
            denied = await limiter.check([limit])
        await asyncio.sleep(int(dict(denied.headers())["Retry-After"]))
        assert (await limiter.check([limit])).allowed


async def _allowed(limiter: Limiter, limit: Limit) -> bool:
    return (await limiter.check([limit])).allowed


async def test_a_key_expires_once_it_is_full_again(redis: RedisClient, limiter: Limiter) -> None:
    await limiter.check([SLOW, OTHER], cost=2)
    for limit in (SLOW, OTHER):
        left = await redis.execute("PTTL", limit.redis_key)
        expected = 2 * limit.unit / 1000
        assert expected - 5_000 < left <= expected + 2


async def test_another_plan_applies_at_the_next_check(limiter: Limiter) -> None:
    for _ in range(3):
        await limiter.check([SLOW])
    assert (await limiter.check([SLOW])).retry_after > 1100
    larger = Limit(300, per=3600, key=("tenant", "t"), name="tenant")
    assert (await limiter.check([larger])).retry_after <= 12
    shorter = Limit(3, per=3, key=("tenant", "t"), name="tenant")
    assert (await limiter.check([shorter])).retry_after <= 1
    assert (await limiter.check([SLOW])).allowed


@pytest.mark.parametrize("stored", ["9007199254740991", "1e300", "text", "-5", "", "nan", "inf"])
@pytest.mark.parametrize("mixed", [False, True])
async def test_a_damaged_key_heals(redis: RedisClient, limiter: Limiter, stored: str, *, mixed: bool) -> None:
    limits = [SLOW, SLIDING] if mixed else [SLOW]
    await redis.execute("SET", SLOW.redis_key, stored)
    decision = await limiter.check(limits)
    assert not decision.outage
    assert decision.retry_after <= 3600 / 3
    assert await limiter.refund([SLOW], cost=3)
    assert (await limiter.check(limits)).allowed


@pytest.mark.parametrize(
    "stored",
    ["9007199254740991:2", "9" * 400 + ":1", "1795000000000000:" + "9" * 400, "text", "::", "-5:-5", ""],
)
async def test_a_damaged_window_heals(redis: RedisClient, limiter: Limiter, stored: str) -> None:
    await redis.execute("SET", SLIDING.redis_key, stored)
    decision = await limiter.check([SLIDING], cost=3)
    assert not decision.outage
    assert decision.retry_after <= 3600
    if not decision.allowed:
        assert (await limiter.peek([SLIDING], cost=3)).retry_after < decision.retry_after
    assert await limiter.refund([SLIDING], cost=3)
    assert (await limiter.check([SLIDING], cost=3)).allowed


@pytest.mark.parametrize("limit", [SLOW, SLIDING], ids=["gcra", "sliding_window"])
async def test_a_key_of_another_type_is_replaced(redis: RedisClient, limiter: Limiter, limit: Limit) -> None:
    await redis.execute("SADD", limit.redis_key, "a")
    assert await limiter.refund([limit])
    assert (await limiter.check([limit])).remaining == 2
    await redis.execute("DEL", limit.redis_key)
    await redis.execute("SADD", limit.redis_key, "a")
    await limiter.reset([limit])
    assert (await limiter.check([limit])).remaining == 2


async def test_a_sliding_window_is_taken_refunded_and_reset(limiter: Limiter) -> None:
    assert [(await limiter.check([SLIDING])).remaining for _ in range(3)] == [2, 1, 0]
    denied = await limiter.check([SLIDING, OTHER])
    assert not denied.allowed
    assert 3590 < denied.retry_after <= 3600
    assert remaining(await limiter.peek([OTHER])) == [10]
    assert await limiter.refund([SLIDING], cost=2)
    assert (await limiter.check([SLIDING], cost=2)).allowed
    await limiter.reset([SLIDING])
    assert (await limiter.check([SLIDING], cost=3)).allowed


async def test_fifty_limits_of_both_algorithms_are_decided_together(limiter: Limiter) -> None:
    limits = [
        Limit(2, per=60, key=("tenant", "t"), name=f"l{n}", algorithm="sliding_window" if n % 2 else "gcra")
        for n in range(50)
    ]
    assert remaining(await limiter.check(limits)) == [1] * 50
    assert not (await limiter.check([*limits, SLOW], cost=2)).allowed
    assert remaining(await limiter.check(limits)) == [0] * 50


async def test_a_forgotten_script_is_sent_again(redis: RedisClient, limiter: Limiter) -> None:
    for _ in range(2):
        assert (await limiter.check([SLOW, SLIDING])).allowed
        assert (await limiter.check([OTHER])).allowed
        await redis.execute("SCRIPT", "FLUSH")
        assert await limiter.refund([OTHER])
        async with limiter.hold([Concurrency(1, key=("k",))]) as hold:
            await redis.execute("SCRIPT", "FLUSH")
            assert hold.allowed


async def test_an_evicted_key_counts_anew(redis: RedisClient, limiter: Limiter) -> None:
    for _ in range(3):
        await limiter.check([SLOW, SLIDING])
    await redis.execute("DEL", SLOW.redis_key, SLIDING.redis_key)
    assert remaining(await limiter.check([SLOW, SLIDING])) == [2, 2]


async def test_a_denied_key_is_answered_without_a_command(redis: RedisClient) -> None:
    limiter = Limiter(redis, deny_for=60)
    for _ in range(3):
        await limiter.check([SLOW])
    asked = await limiter.check([SLOW, OTHER])
    before = await scripts(redis)
    remembered = [await limiter.check([SLOW, OTHER]) for _ in range(100)]
    assert await scripts(redis) == before
    assert not any(decision.allowed for decision in remembered)
    assert all(decision.retry_after <= asked.retry_after for decision in remembered)
    assert remembered[0].headers()[0] == ("RateLimit-Policy", '"tenant";q=3;w=3600')


async def test_a_refund_or_reset_through_this_limiter_clears_the_memory(redis: RedisClient) -> None:
    limiter = Limiter(redis, deny_for=60)
    for _ in range(4):
        await limiter.check([SLOW])
    await limiter.refund([SLOW])
    assert (await limiter.check([SLOW])).allowed
    assert not (await limiter.check([SLOW])).allowed
    await limiter.reset([SLOW])
    assert (await limiter.check([SLOW])).allowed


async def test_four_concurrent_clients_never_over_admit(redis_url: str) -> None:
    limit = Limit(50, per=3600, key=("tenant", "t"))
    settings = RedisSettings(redis_url, command_timeout=2.0)
    async with (
        open_redis(settings) as a,
        open_redis(settings) as b,
        open_redis(settings) as c,
        open_redis(settings) as d,
    ):
        limiters = [Limiter(redis, clock=lambda n=n: 1e6 * n) for n, redis in enumerate((a, b, c, d))]
        decisions = await asyncio.gather(*(limiters[n % 4].check([limit]) for n in range(400)))
    assert sum(decision.allowed for decision in decisions) == 50
    assert not any(decision.outage for decision in decisions)


async def test_300_concurrent_checks_on_defaults_meet_no_outage(redis_url: str) -> None:
    limits = [Limit(1000, per=36_000, key=("tenant", "t"), name=name) for name in ("a", "b", "c")]
    async with open_redis(RedisSettings(redis_url)) as redis:
        limiter = Limiter(redis)
        decisions = await asyncio.gather(*(limiter.check(limits) for _ in range(300)))
    assert all(decision.allowed and not decision.outage for decision in decisions)
    assert min(remaining(decision)[0] for decision in decisions) == 700
