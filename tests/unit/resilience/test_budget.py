"""Retries stay within what calls and time have earned."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_resilience import Retry, RetryBudget
from sba_resilience.testing import FakeClock

EVENTS = st.lists(st.sampled_from(["call", "retry"]) | st.floats(0, 5), max_size=200)


@given(EVENTS, st.floats(0, 1), st.floats(0, 3), st.integers(1, 5))
def test_the_bound_holds_over_every_stretch_of_time(events, share, per_second, burst) -> None:
    clock = FakeClock()
    budget = RetryBudget(share, per_second, burst, clock=clock)
    granted: list[bool] = []
    earned: list[float] = []
    for event in events:
        earned.append(0.0)
        granted.append(False)
        if event == "call":
            budget.earn()
            earned[-1] = share
        elif event == "retry":
            granted[-1] = budget.spend()
        else:
            clock.advance(event)
            earned[-1] = event * per_second
    for start in range(len(events)):
        assert sum(granted[start:]) <= burst + sum(earned[start:]) + 1e-6


async def test_an_outage_meets_a_tenth_more_calls_not_a_multiple() -> None:
    clock, calls = FakeClock(), 0
    budget = RetryBudget(share=0.1, per_second=0.0, burst=10, clock=clock)
    retry = Retry(5, base=0.0, retry_on=ConnectionError, budget=budget, sleep=clock.sleep)

    async def broken() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise ConnectionError

    await asyncio.gather(*(retry.call(broken) for _ in range(1000)), return_exceptions=True)
    assert 1000 < calls <= 1000 + 100 + 10
    calls = 0
    for _ in range(1000):
        await asyncio.gather(retry.call(broken), return_exceptions=True)
    assert 1000 + 90 <= calls <= 1000 + 100 + 10


async def test_a_quiet_caller_may_retry_after_a_while(clock: FakeClock) -> None:
    budget = RetryBudget(share=0.0, per_second=0.5, burst=1, clock=clock)
    assert budget.spend()
    assert not budget.spend()
    clock.advance(1.0)
    assert not budget.spend()
    clock.advance(1.0)
    assert budget.left == 1.0
    clock.advance(1e6)
    assert budget.left == 1.0


@pytest.mark.parametrize("wrong", [{"share": -0.1}, {"share": 1.1}, {"per_second": -1}, {"burst": 0}])
def test_budgets_that_cannot_hold_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        RetryBudget(**wrong)
