"""Units given back late: time has given back some of them already, and no promise may break."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sba_ratelimit import Decision, Limit, Limiter, RateLimitMiddleware
from sba_ratelimit.limit import Algorithm
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.ratelimit.promises import Log, broken
from tests.integration.ratelimit.timeline import EPOCH, Timeline
from tests.integration.resilience.faults import Server

ALGORITHMS = ["gcra", "sliding_window"]
HOUR = 3_600 * 1_000_000


def ten(algorithm: Algorithm, per: float = 1, **changes: Any) -> Limit:
    return Limit(10, per=per, key=("ip", "a"), name=algorithm, algorithm=algorithm, **changes)


LIMIT = st.builds(
    lambda count, per, algorithm: Limit(count, per=per, key=("k",), name="l", algorithm=algorithm),
    st.integers(1, 8),
    st.sampled_from([0.001, 0.5, 1, 7]),
    st.sampled_from(ALGORITHMS),
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from([0, 0, 1, 999, 20_000, 140_001, 500_000, 1_000_000, 7_000_000]),
        st.integers(-9, 9),
        st.integers(1, 4),
    ),
    max_size=40,
)


def test_no_refund_however_late_lets_more_pass_than_was_promised(redis_url: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(LIMIT, STEPS)
    def holds(limit: Limit, steps: list[tuple[int, int, int, int]]) -> None:
        asyncio.run(_run(redis_url, limit, steps))

    holds()


async def _run(url: str, limit: Limit, steps: list[tuple[int, int, int, int]]) -> None:
    async with open_redis(RedisSettings(url, command_timeout=5.0)) as redis:
        await redis.execute("FLUSHALL")
        timeline, now, log = Timeline(redis), EPOCH, Log()
        for cost, passed, which, most in steps:
            now += passed
            cost = min(cost, limit.count)  # noqa: PLW2901 - fits
            if (await timeline.decide([limit], cost, now, write=True)).allowed:
                log.append((now, cost))
            if log and which < len(log):
                at, units = log.pop(which % len(log))
                back = min(units, most)
                log.append((at, units - back))
                await timeline.refund([limit], back, now, at)
            assert not broken(limit, log)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_units_that_time_has_given_back_are_not_given_back_again(
    redis: RedisClient, algorithm: Algorithm
) -> None:
    limit, timeline = ten(algorithm), Timeline(redis)
    later = EPOCH + 1_050_000
    for now in (EPOCH, later):
        for _ in range(10):
            assert (await timeline.decide([limit], 1, now, write=True)).allowed
    for _ in range(10):
        await timeline.refund([limit], 1, later, EPOCH)
    assert not (await timeline.decide([limit], 1, later, write=True)).allowed


async def test_of_a_pause_no_more_is_credited_than_once(redis: RedisClient) -> None:
    limit, timeline = Limit(2, per=2, key=("ip", "a")), Timeline(redis)
    for _ in range(2):
        assert (await timeline.decide([limit], 1, EPOCH, write=True)).allowed
    await timeline.refund([limit], 1, EPOCH, EPOCH)
    later = EPOCH + limit.unit
    assert (await timeline.decide([limit], 2, later, write=True)).allowed
    await timeline.refund([limit], 1, later, EPOCH)
    assert (await timeline.ask([limit], 0, later, write=False))[1] == 0


async def test_gcra_gives_back_what_is_still_owed_of_a_taking(redis: RedisClient) -> None:
    limit, timeline = Limit(10, per=10, key=("ip", "a")), Timeline(redis)
    assert (await timeline.decide([limit], 6, EPOCH, write=True)).allowed
    await timeline.refund([limit], 6, EPOCH + 2_000_000, EPOCH)
    assert (await timeline.ask([limit], 0, EPOCH + 2_000_000, write=False))[1] == 10


@pytest.mark.parametrize(("taken_at", "left"), [(0, [5, 7]), (500_000, [5, 10])])
async def test_a_window_gives_back_the_units_of_that_moment_for_as_long_as_they_count(
    redis: RedisClient, taken_at: int, left: list[int]
) -> None:
    limit, timeline = ten("sliding_window"), Timeline(redis)
    for at, cost in ((0, 5), (500_000, 3)):
        assert (await timeline.decide([limit], cost, EPOCH + at, write=True)).allowed
    await timeline.refund([limit], 3, EPOCH + 600_000, EPOCH + taken_at)
    later = (EPOCH + 600_000, EPOCH + 1_000_000)
    assert [(await timeline.ask([limit], 0, now, write=False))[1] for now in later] == left


async def test_without_the_taking_the_oldest_units_of_a_window_are_given_back(redis: RedisClient) -> None:
    limit, timeline = ten("sliding_window"), Timeline(redis)
    for at, cost in ((0, 5), (500_000, 3)):
        assert (await timeline.decide([limit], cost, EPOCH + at, write=True)).allowed
    await timeline.refund([limit], 6, EPOCH + 600_000)
    seen = [
        (await timeline.ask([limit], 0, EPOCH + now, write=False))[1]
        for now in (600_000, 1_000_000, 1_500_000)
    ]
    assert seen == [8, 8, 10]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_decision_says_when_it_took_and_that_is_what_a_refund_goes_by(
    limiter: Limiter, algorithm: Algorithm
) -> None:
    limit = ten(algorithm, per=3_600)
    decision = await limiter.check([limit], cost=4)
    assert decision.taken_at is not None
    long_ago = replace(decision, taken_at=decision.taken_at - HOUR)
    assert await limiter.refund([limit], cost=4, of=long_ago)
    assert (await limiter.peek([limit])).remaining == 6
    assert await limiter.refund([limit], cost=4, of=decision)
    assert (await limiter.peek([limit])).remaining == 10


async def test_a_decision_that_took_nothing_has_nothing_to_give_back(limiter: Limiter) -> None:
    limit, shadow = ten("gcra", per=3_600), ten("sliding_window", per=3_600, shadow=True)
    peeked = await limiter.peek([limit])
    await limiter.check([limit, shadow], cost=8)
    shadowed = await limiter.check([shadow], cost=8)
    refused = await limiter.check([limit], cost=8)
    assert (refused.taken_at, peeked.taken_at) == (None, None)
    for nothing in (peeked, refused):
        with pytest.raises(ValueError, match="took nothing"):
            await limiter.refund([limit], cost=8, of=nothing)
    assert await limiter.refund([shadow], cost=8, of=shadowed)
    assert (await limiter.check([limit, shadow], cost=8)).retry_after > 0
    assert await limiter.refund([], of=peeked)


async def test_what_was_taken_in_an_outage_and_what_was_not_are_given_back_where_they_were_counted(
    server: Server, tmp_path: Path
) -> None:
    limit = ten("gcra", per=3_600, on_outage="local")
    async with open_redis(RedisSettings(server.url)) as redis:
        limiter = Limiter(redis, deny_for=0)
        while (counted := await limiter.check([limit], cost=4)).outage:
            pass
        server.kill()
        here = await limiter.check([limit], cost=7)
        assert here.outage
        assert not await limiter.refund([limit], cost=4, of=counted)
        assert (await limiter.peek([limit])).remaining == 3
        assert not await limiter.refund([limit], cost=7, of=here)
        assert (await limiter.peek([limit])).remaining == 10


async def test_the_middleware_gives_back_by_the_taking_of_the_request(redis: RedisClient) -> None:
    given: list[Decision | None] = []

    class Noting(Limiter):
        async def refund(self, limits: Any, *, cost: int = 1, of: Decision | None = None) -> bool:
            given.append(of)
            return await super().refund(limits, cost=cost, of=of)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})

    async def nothing(message: Any) -> None:
        del message

    limit, limiter = ten("sliding_window", per=3_600), Noting(redis)
    limited = RateLimitMiddleware(
        app, limiter=limiter, limits=lambda _: [limit], refund_when=lambda s: s > 499
    )
    await limited({"type": "http", "path": "/", "method": "GET", "headers": []}, app, nothing)  # type: ignore[arg-type]  # never receives
    assert given[0] is not None
    assert given[0].taken_at is not None
    assert (await limiter.peek([limit])).remaining == 10
