"""When a breaker opens, whom it lets through, and when it closes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_resilience import Breaker, BreakerOpen, BulkheadFull, Deadline, DeadlineExceeded, State
from sba_resilience.testing import FakeClock


def made(clock: FakeClock, **rules: object) -> Breaker:
    return Breaker(
        "test",
        clock=clock,
        **({"failures": 0.5, "window": 4, "minimum_calls": 2, "open_for": 5.0} | rules),
    )


async def ok() -> str:
    return "ok"


async def broken() -> None:
    raise ConnectionError


async def fail(breaker: Breaker) -> None:
    with pytest.raises(ConnectionError):
        await breaker.call(broken)


async def test_it_needs_a_minimum_of_calls_to_open(clock: FakeClock) -> None:
    breaker = made(clock)
    await fail(breaker)
    assert breaker.state is State.CLOSED
    await fail(breaker)
    assert breaker.state is State.OPEN
    with pytest.raises(BreakerOpen) as caught:
        await breaker.call(ok)
    assert (caught.value.name, caught.value.retry_after) == ("test", 5.0)


async def test_only_the_latest_outcomes_count(clock: FakeClock) -> None:
    breaker = made(clock, window=4, minimum_calls=4, failures=0.75)
    for good in (False, False, True, True, True, False, False):
        breaker.record(ok=good)
        assert breaker.state is State.CLOSED
    breaker.record(ok=False)
    assert breaker.state is State.OPEN


async def test_old_outcomes_are_forgotten(clock: FakeClock) -> None:
    breaker = made(clock, within=10.0)
    breaker.record(ok=False)
    clock.now += 10.1
    breaker.record(ok=False)
    assert breaker.state is State.CLOSED


async def test_half_open_lets_only_its_permits_through(clock: FakeClock) -> None:
    breaker = made(clock, half_open_permits=2)
    for _ in range(2):
        await fail(breaker)
    clock.now += 5.0
    gate, passed = asyncio.Event(), []

    async def probe(n: int) -> None:
        passed.append(n)
        await gate.wait()

    calls = [asyncio.ensure_future(breaker.call(probe, n)) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert passed == [0, 1]
    assert sum(isinstance(outcome, BreakerOpen) for outcome in outcomes) == 48
    assert breaker.state is State.CLOSED


async def test_a_failed_probe_opens_it_again(clock: FakeClock) -> None:
    breaker = made(clock)
    breaker.record(ok=False)
    breaker.record(ok=False)
    clock.now += 5.0
    await fail(breaker)
    assert breaker.state is State.OPEN
    assert breaker.retry_after == 5.0


async def test_a_call_begun_before_it_opened_says_nothing_about_the_probe(clock: FakeClock) -> None:
    breaker = made(clock)
    early = breaker.allow()
    breaker.record(ok=False)
    breaker.record(ok=False)
    clock.now += 5.0
    probe = breaker.allow()
    breaker.record(early, ok=True)
    assert breaker.state is State.HALF_OPEN
    breaker.record(early, ok=False)
    assert breaker.state is State.HALF_OPEN
    breaker.record(probe, ok=True)
    assert breaker.state is State.CLOSED


async def test_a_cancelled_probe_gives_its_permit_back(clock: FakeClock) -> None:
    breaker = made(clock)
    breaker.record(ok=False)
    breaker.record(ok=False)
    clock.now += 5.0
    probe = asyncio.ensure_future(breaker.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert breaker.state is State.HALF_OPEN
    assert await breaker.call(ok) == "ok"
    assert breaker.state is State.CLOSED


async def test_errors_of_the_caller_and_a_full_bulkhead_do_not_count(clock: FakeClock) -> None:
    breaker = made(clock, is_failure=lambda error: isinstance(error, ConnectionError))

    async def wrong() -> None:
        raise KeyError

    async def full() -> None:
        raise BulkheadFull(1, 0)

    for _ in range(5):
        with pytest.raises(KeyError):
            await breaker.call(wrong)
        with pytest.raises(BulkheadFull):
            await made(clock, window=1, minimum_calls=1).call(full)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(("had", "state"), [(10.0, State.OPEN), (5.0, State.OPEN), (4.9, State.CLOSED)])
async def test_a_call_that_used_up_its_deadline_is_a_failure_unless_it_had_little_of_it(
    clock: FakeClock, had: float, state: State
) -> None:
    breaker = made(clock, window=1, minimum_calls=1)
    with Deadline(clock() + had, 10.0, clock).scope():
        call = asyncio.ensure_future(breaker.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    clock.advance(had)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert breaker.state is state


async def test_a_deadline_that_cancels_a_hanging_call_opens_it(clock: FakeClock) -> None:
    breaker = made(clock, window=1, minimum_calls=1)
    with pytest.raises(DeadlineExceeded):
        async with Deadline.after(0.5):
            await breaker.call(asyncio.Event().wait)
    assert breaker.state is State.OPEN


async def test_forced_open_stays_open_until_reset(clock: FakeClock) -> None:
    seen: list[State] = []
    breaker = made(clock, on_change=lambda changed: seen.append(changed.state))
    breaker.force_open()
    breaker.force_open()
    clock.now += 1e6
    with pytest.raises(BreakerOpen):
        breaker.allow()
    breaker.reset()
    assert await breaker.call(ok) == "ok"
    assert seen == [State.OPEN, State.CLOSED]


@given(st.lists(st.booleans() | st.floats(min_value=0, max_value=20), max_size=60))
def test_it_is_open_exactly_when_a_window_of_outcomes_says_so(events: list[bool | float]) -> None:
    clock = FakeClock()
    breaker = made(clock, window=5, minimum_calls=3, failures=0.6, within=30.0)
    known: list[tuple[float, bool]] = []
    for event in events:
        if isinstance(event, bool):
            known = [(at, good) for at, good in [*known, (clock.now, event)][-5:] if at >= clock.now - 30.0]
            breaker.record(ok=event)
            failed = sum(not good for _, good in known)
            if not event and len(known) >= 3 and failed >= 0.6 * len(known):
                assert breaker.state is State.OPEN
                return
            assert breaker.state is State.CLOSED
        else:
            clock.now += event


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures": 0},
        {"failures": 1.1},
        {"minimum_calls": 0},
        {"minimum_calls": 5},
        {"half_open_permits": 0},
        {"slow_rate": 0},
        {"window": None, "minimum_calls": 0},
        {"within": 0},
        {"open_for": 0},
        {"slow": 0},
        {"open_growth": 0.5},
        {"jitter": -0.1},
    ],
)
def test_rules_that_cannot_hold_are_refused(clock: FakeClock, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        made(clock, **wrong)
