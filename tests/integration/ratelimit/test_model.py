"""The scripts against a model of GCRA in exact integers, on a clock of the test's own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sba_ratelimit import Limit
from sba_resilience.redis import RedisSettings, open_redis
from tests.integration.ratelimit.timeline import EPOCH, Timeline


@dataclass
class Model:
    """Theoretical arrival times as exact integers of microseconds."""

    limits: list[Limit]
    arrivals: dict[str, int] = field(default_factory=dict)

    def check(self, now: int, cost: int, *, write: bool) -> list[int]:
        waits, figures = [], []
        for limit in self.limits:
            arrival = max(self.arrivals.get(limit.redis_key, now), now)
            if arrival > now + limit.unit * limit.capacity:
                arrival = now + limit.unit * limit.capacity
                if write:
                    self.arrivals[limit.redis_key] = arrival
            waits.append(max(0, arrival + cost * limit.unit - limit.unit * limit.capacity - now))
            figures.append(arrival)
        allowed = not any(waits)
        if allowed and write:
            figures = [
                arrival + cost * limit.unit for arrival, limit in zip(figures, self.limits, strict=True)
            ]
            if cost:
                self.arrivals |= {limit.redis_key: at for limit, at in zip(self.limits, figures, strict=True)}
        reply = [int(allowed)]
        for limit, arrival, wait in zip(self.limits, figures, waits, strict=True):
            reply += [(now + limit.unit * limit.capacity - arrival) // limit.unit, arrival - now, wait]
        return reply

    def refund(self, now: int, cost: int) -> None:
        for limit in self.limits:
            longest = now + limit.unit * limit.capacity
            at = min(self.arrivals.pop(limit.redis_key, now), longest) - cost * limit.unit
            if at > now:
                self.arrivals[limit.redis_key] = at


LIMITS = st.lists(
    st.builds(
        lambda count, per, burst: (count, per, burst),
        st.integers(1, 10_000),
        st.sampled_from([0.5, 1, 7, 60, 3600, 86_400 * 365]),
        st.none() | st.integers(1, 30),
    ),
    min_size=1,
    max_size=4,
).map(
    lambda rows: [
        Limit(count, per=per, burst=burst, key=("k",), name=f"l{n}")
        for n, (count, per, burst) in enumerate(rows)
    ]
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["check", "check", "check", "peek", "refund"]),
        st.integers(0, 12),
        st.sampled_from([-2_000_000, 0, 0, 1, 999, 142_858, 1_000_000, 60_000_000, 10**13]),
    ),
    max_size=25,
)


@pytest.mark.parametrize("script", ["gcra", "mixed"])
def test_the_script_equals_the_model(redis_url: str, script: str) -> None:
    @settings(max_examples=80, deadline=None)
    @given(LIMITS, STEPS)
    def holds(limits: list[Limit], steps: list[tuple[str, int, int]]) -> None:
        asyncio.run(_compare(redis_url, limits, steps, plain=script == "gcra"))

    holds()


async def _compare(url: str, limits: list[Limit], steps: list[tuple[str, int, int]], *, plain: bool) -> None:
    async with open_redis(RedisSettings(url, command_timeout=5.0)) as redis:
        await redis.execute("FLUSHALL")
        timeline, model, now = Timeline(redis), Model(limits), EPOCH
        for action, cost, passed in steps:
            now += passed
            if action == "refund":
                model.refund(now, cost)
                await timeline.refund(limits, cost, now)
            else:
                write = action == "check"
                got = await timeline.ask(limits, cost, now, write=write, plain=plain)
                assert got == model.check(now, cost, write=write)
