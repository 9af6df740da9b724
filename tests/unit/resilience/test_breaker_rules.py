"""Slowness, probes, growing open times, forced states and listeners."""

from __future__ import annotations

import asyncio

import pytest

from sba_resilience import Breaker, BreakerOpen, Mode, State
from sba_resilience.testing import FakeClock


class Answer(Exception):
    def __init__(self, status_code: int, retry_after: float | None = None) -> None:
        self.status_code = status_code
        self.retry_after = retry_after


def made(clock: FakeClock, **rules: object) -> Breaker:
    return Breaker(
        "rules", clock=clock, **({"window": 10, "minimum_calls": 4, "open_for": 5.0, "failures": 0.5} | rules)
    )


def opened(breaker: Breaker) -> Breaker:
    while breaker.state is not State.OPEN:
        breaker.record(ok=False)
    return breaker


async def raising(error: BaseException) -> None:
    raise error


async def test_calls_that_succeed_too_slowly_open_it(clock: FakeClock) -> None:
    breaker = made(clock, slow=1.0, slow_rate=0.5)

    async def call(seconds: float) -> None:
        clock.advance(seconds)

    for seconds in (0.5, 1.0, 1.5):
        await breaker.call(call, seconds)
    assert breaker.state is State.CLOSED
    await breaker.call(call, 1.5)
    assert breaker.state is State.OPEN
    assert breaker.snapshot.reason == "slow"
    assert (breaker.snapshot.calls, breaker.snapshot.slow, breaker.snapshot.failed) == (4, 2, 0)


def test_a_slow_success_does_not_open_it_for_failures_nor_a_quick_failure_for_slowness(
    clock: FakeClock,
) -> None:
    breaker = made(clock, slow=1.0, slow_rate=1.0)
    for ok in (False, False, True, True):
        breaker.record(ok=ok, seconds=2.0 * ok)
    assert breaker.state is State.CLOSED
    slowed = made(clock, slow=1.0, slow_rate=0.5, failures=1.0)
    for ok in (True, True, False, False):
        slowed.record(ok=ok, seconds=2.0 * ok)
    assert slowed.state is State.CLOSED


def test_a_time_window_counts_everything_of_the_last_seconds(clock: FakeClock) -> None:
    breaker = made(clock, window=None, within=10.0, minimum_calls=50, failures=0.5)
    for _ in range(100):
        breaker.record(ok=True)
    for _ in range(99):
        breaker.record(ok=False)
    assert breaker.state is State.CLOSED
    clock.advance(10.0)
    for _ in range(49):
        breaker.record(ok=False)
    assert breaker.state is State.CLOSED
    breaker.record(ok=False)
    assert breaker.state is State.OPEN


def test_a_share_that_floats_cannot_hold_exactly_is_reached_all_the_same(clock: FakeClock) -> None:
    breaker = made(clock, failures=0.7, minimum_calls=10)
    for ok in [True] * 3 + [False] * 7:
        breaker.record(ok=ok)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ([True, False, True], State.HALF_OPEN),
        ([True, False, True, True], State.CLOSED),
        ([False, True, False], State.OPEN),
        ([True, True, True], State.CLOSED),
    ],
)
def test_it_decides_over_all_probes_as_soon_as_the_result_is_certain(
    clock: FakeClock, results: list[bool], state: State
) -> None:
    breaker = opened(made(clock, half_open_permits=4))
    clock.advance(5.0)
    for ok in results:
        breaker.record(breaker.allow(), ok=ok)
    assert breaker.state is state


def test_probes_that_are_too_slow_open_it_again(clock: FakeClock) -> None:
    breaker = opened(made(clock, half_open_permits=2, slow=1.0, slow_rate=1.0))
    clock.advance(5.0)
    breaker.record(breaker.allow(), ok=True, seconds=2.0)
    assert breaker.state is State.HALF_OPEN
    breaker.record(breaker.allow(), ok=True, seconds=2.0)
    assert breaker.state is State.OPEN


def test_probes_that_never_end_count_as_failed(clock: FakeClock) -> None:
    breaker = opened(made(clock, half_open_permits=2, half_open_for=30.0))
    clock.advance(5.0)
    late = breaker.allow()
    breaker.allow()
    clock.advance(29.0)
    with pytest.raises(BreakerOpen):
        breaker.allow()
    assert breaker.state is State.HALF_OPEN
    clock.advance(1.0)
    with pytest.raises(BreakerOpen):
        breaker.allow()
    assert breaker.snapshot.reason == "probes_hang"
    clock.advance(5.0)
    breaker.record(late, ok=True)
    breaker.record(breaker.allow(), ok=True)
    assert breaker.state is State.HALF_OPEN


def test_each_failed_probe_makes_the_next_open_time_longer_up_to_the_cap(clock: FakeClock) -> None:
    breaker = opened(made(clock, open_growth=3.0, open_cap=40.0))
    waits = []
    for _ in range(4):
        waits.append(breaker.retry_after)
        clock.advance(breaker.retry_after)
        breaker.record(breaker.allow(), ok=False)
    assert waits == [5.0, 15.0, 40.0, 40.0]
    clock.advance(40.0)
    breaker.record(breaker.allow(), ok=True)
    assert opened(breaker).retry_after == 5.0


def test_jitter_makes_an_open_time_longer_never_shorter(clock: FakeClock) -> None:
    assert opened(made(clock, jitter=0.2, chance=lambda: 0.5)).retry_after == pytest.approx(5.5)
    assert opened(made(clock, jitter=0.2, chance=lambda: 0.0)).retry_after == 5.0


async def test_it_stays_open_as_long_as_the_dependency_asked_up_to_the_cap(clock: FakeClock) -> None:
    breaker = made(clock, minimum_calls=1, open_cap=60.0)
    with pytest.raises(Answer):
        await breaker.call(raising, Answer(503, retry_after=20))
    assert breaker.retry_after == 20.0
    greedy = made(clock, minimum_calls=1, open_cap=60.0)
    with pytest.raises(Answer):
        await greedy.call(raising, Answer(503, retry_after=1e9))
    assert greedy.retry_after == 60.0


async def test_what_was_asked_is_forgotten_when_it_closes(clock: FakeClock) -> None:
    breaker = made(clock, minimum_calls=1)
    breaker.record(ok=False, retry_after=50.0)
    breaker.reset()
    assert opened(breaker).retry_after == 5.0


async def test_a_late_answer_may_still_ask_for_more_time(clock: FakeClock) -> None:
    breaker = made(clock, minimum_calls=1)
    early = breaker.allow()
    opened(breaker)
    with pytest.raises(Answer):
        await breaker.run(early, raising, Answer(429, retry_after=30))
    assert breaker.retry_after == 30.0


async def test_a_wrong_request_is_an_answer_and_closes_a_half_open_breaker(clock: FakeClock) -> None:
    breaker = made(clock)
    for _ in range(20):
        with pytest.raises(Answer):
            await breaker.call(raising, Answer(404))
    assert breaker.state is State.CLOSED
    opened(breaker)
    clock.advance(5.0)
    with pytest.raises(Answer):
        await breaker.call(raising, Answer(404))
    assert breaker.state is State.CLOSED


def test_forced_closed_lets_everything_through_and_counts_what_it_would_have_done(
    clock: FakeClock, measured
) -> None:
    breaker = Breaker("shadow", minimum_calls=4, clock=clock)
    breaker.force_closed()
    for _ in range(6):
        breaker.record(breaker.allow(), ok=False)
    assert (breaker.state, breaker.mode) == (State.CLOSED, Mode.FORCED_CLOSED)
    assert breaker.snapshot.failed == 6
    assert measured("sba.breaker.events", breaker="shadow", event="would_open") == 3


def test_disabled_measures_nothing(clock: FakeClock) -> None:
    breaker = made(clock)
    breaker.disable()
    for _ in range(50):
        breaker.record(breaker.allow(), ok=False)
    assert breaker.snapshot.calls == 0
    breaker.reset()
    assert (breaker.mode, opened(breaker).state) == (Mode.AUTOMATIC, State.OPEN)


def test_forced_open_outlasts_probes_and_says_when_to_ask_again(clock: FakeClock) -> None:
    breaker = made(clock)
    breaker.force_open()
    clock.advance(1e9)
    with pytest.raises(BreakerOpen) as caught:
        breaker.allow()
    assert caught.value.retry_after == 5.0


def test_listeners_hear_every_change_until_they_end(clock: FakeClock) -> None:
    breaker, first, second = made(clock), [], []
    breaker.listen(lambda changed: first.append(changed.snapshot.reason))
    end = breaker.listen(lambda changed: second.append(changed.state))
    opened(breaker)
    end()
    end()
    clock.advance(5.0)
    breaker.record(breaker.allow(), ok=True)
    assert first == ["failures", "failures", "recovered"]
    assert second == [State.OPEN]


async def test_a_listener_that_raises_breaks_neither_the_call_nor_the_others(clock: FakeClock) -> None:
    heard = []

    def broken(changed: Breaker) -> None:
        raise RuntimeError

    breaker = made(clock, minimum_calls=1, on_change=broken)
    breaker.listen(lambda changed: heard.append(changed.state))
    with pytest.raises(ConnectionError):
        await breaker.call(raising, ConnectionError())
    assert heard == [State.OPEN]


async def test_never_more_than_the_permits_run_at_once_among_fifty_callers(clock: FakeClock) -> None:
    breaker = opened(made(clock, half_open_permits=3, failures=1.0))
    clock.advance(5.0)
    running = most = admitted = 0

    async def probe() -> None:
        nonlocal running, most, admitted
        running, admitted = running + 1, admitted + 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        raise ConnectionError

    results = await asyncio.gather(*(breaker.call(probe) for _ in range(50)), return_exceptions=True)
    assert (most, admitted) == (3, 3)
    assert sum(isinstance(result, BreakerOpen) for result in results) == 47
    assert breaker.state is State.OPEN


def test_state_and_calls_are_measured_by_name(clock: FakeClock, measured) -> None:
    breaker = Breaker("measured", minimum_calls=2, clock=clock)
    assert measured("sba.breaker.state", breaker="measured") == 0
    opened(breaker)
    with pytest.raises(BreakerOpen):
        breaker.allow()
    assert measured("sba.breaker.state", breaker="measured") == 2
    assert measured("sba.breaker.changes", breaker="measured", state="open") == 1
    assert measured("sba.breaker.events", breaker="measured", event="failed") == 2
    assert measured("sba.breaker.events", breaker="measured", event="refused") == 1


def test_an_outcome_without_a_permit_says_nothing_while_open(clock: FakeClock) -> None:
    breaker = opened(made(clock))
    breaker.record(ok=True)
    assert (breaker.state, breaker.retry_after) == (State.OPEN, 5.0)


def test_a_permit_given_back_late_frees_no_place_among_the_probes(clock: FakeClock) -> None:
    breaker = made(clock)
    early = breaker.allow()
    opened(breaker)
    clock.advance(5.0)
    breaker.allow()
    breaker.release(early)
    with pytest.raises(BreakerOpen):
        breaker.allow()
