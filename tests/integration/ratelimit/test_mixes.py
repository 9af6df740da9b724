"""Any mix of algorithms and shadow limits, against a log of every admission."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from sba_ratelimit import Decision, Limit
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.ratelimit.promises import Log, broken, taken
from tests.integration.ratelimit.timeline import EPOCH, Timeline

SLICES = 50

WINDOWS = st.builds(
    lambda count, per, shadow: {"count": count, "per": per, "shadow": shadow, "algorithm": "sliding_window"},
    st.integers(1, 12),
    st.sampled_from([0.001, 0.5, 1, 7, 60]),
    st.booleans(),
)
BUCKETS = st.builds(
    lambda count, per, burst, shadow: {"count": count, "per": per, "burst": burst, "shadow": shadow},
    st.integers(1, 12),
    st.sampled_from([0.5, 1, 7, 60]),
    st.none() | st.integers(1, 8),
    st.booleans(),
)
LIMITS = st.lists(WINDOWS | WINDOWS | BUCKETS, min_size=1, max_size=4).map(
    lambda rows: [Limit(key=("k",), name=f"l{n}", **row) for n, row in enumerate(rows)]
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([0, 0, 1, 999, 10_000, 20_000, 140_001, 490_000, 1_000_000, 7_000_000, 10**10])
        | st.integers(0, 2_000_000),
    ),
    max_size=30,
)


def test_no_mix_ever_over_admits_and_a_refusal_takes_nothing(redis_url: str) -> None:
    @settings(max_examples=120, deadline=None)
    @given(LIMITS, STEPS)
    def holds(limits: list[Limit], steps: list[tuple[int, int]]) -> None:
        asyncio.run(_run(redis_url, limits, steps))

    holds()


async def _run(url: str, limits: list[Limit], steps: list[tuple[int, int]]) -> None:
    async with open_redis(RedisSettings(url, command_timeout=5.0)) as redis:
        await redis.execute("FLUSHALL")
        timeline, now = Timeline(redis), EPOCH
        logs: dict[str, Log] = {limit.name: [] for limit in limits}
        for cost, passed in steps:
            now += passed
            cost = min([cost, *(limit.capacity for limit in limits if not limit.shadow)])  # noqa: PLW2901 - fits
            decision = await timeline.decide(limits, cost, now, write=True)
            if decision.allowed:
                shadowed = {state.limit.name for state in decision.shadowed}
                for name in logs.keys() - shadowed:
                    logs[name].append((now, cost))
            else:
                await _takes_nothing_and_says_when(timeline, decision, limits, cost, now)
            _is_no_stricter_than_a_slice(decision, logs, cost, now)
        for limit in limits:
            assert not broken(limit, logs[limit.name])


async def _takes_nothing_and_says_when(
    timeline: Timeline, denied: Decision, limits: Sequence[Limit], cost: int, now: int
) -> None:
    again = await timeline.decide(limits, cost, now, write=False)
    assert again == denied
    told = int(dict(denied.headers())["Retry-After"]) * 1_000_000
    assert (await timeline.decide(limits, cost, now + told, write=False)).allowed
    exactly = round(denied.retry_after * 1_000_000)
    assert (await timeline.decide(limits, cost, now + exactly, write=False)).allowed
    assert not (await timeline.decide(limits, cost, now + exactly - 1, write=False)).allowed


def _is_no_stricter_than_a_slice(decision: Decision, logs: dict[str, Log], cost: int, now: int) -> None:
    for state in (*decision.limits, *decision.shadowed):
        limit = state.limit
        if limit.quota.algorithm == "sliding_window" and state.retry_after > 0:
            widened = limit.quota.window * (SLICES + 1) // SLICES + 1
            assert taken(logs[limit.name], now - widened, now) + cost > limit.count


def test_a_refund_never_leaves_more_than_the_limit_holds(redis_url: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(LIMITS, STEPS, st.integers(0, 20))
    def holds(limits: list[Limit], steps: list[tuple[int, int]], back: int) -> None:
        asyncio.run(_refunded(redis_url, limits, steps, back))

    holds()


async def _refunded(url: str, limits: list[Limit], steps: list[tuple[int, int]], back: int) -> None:
    async with open_redis(RedisSettings(url, command_timeout=5.0)) as redis:
        await redis.execute("FLUSHALL")
        timeline, now = Timeline(redis), EPOCH
        for cost, passed in steps:
            now += passed
            await timeline.ask(limits, cost, now, write=True)
        before = await timeline.ask(limits, 0, now, write=False)
        await timeline.refund(limits, back, now)
        after = await timeline.ask(limits, 0, now, write=False)
    for limit, had, has in zip(limits, before[1::3], after[1::3], strict=True):
        assert has == min(limit.capacity, had + back)


async def test_units_of_one_slice_count_until_the_last_of_them_is_a_window_old(redis: RedisClient) -> None:
    limit = Limit(3, per=50, key=("k",), algorithm="sliding_window")
    timeline = Timeline(redis)
    begin = EPOCH - EPOCH % 1_000_000
    for at in (100_000, 900_000):
        assert (await timeline.decide([limit], 1, begin + at, write=True)).allowed
    denied = await timeline.decide([limit], 2, begin + 50_200_000, write=True)
    assert not denied.allowed
    assert denied.retry_after == 0.7
    assert (await timeline.decide([limit], 3, begin + 50_900_000, write=True)).allowed


async def test_a_window_is_kept_in_bounded_memory(redis: RedisClient) -> None:
    limit = Limit(100_000, per=60, key=("k",), algorithm="sliding_window")
    timeline = Timeline(redis)
    for step in range(1000):
        assert (await timeline.decide([limit], 3, EPOCH + step * 100_000, write=True)).allowed
    assert await redis.execute("STRLEN", limit.redis_key) < 51 * 30
