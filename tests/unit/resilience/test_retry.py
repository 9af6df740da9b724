"""How often and how long a call is tried again."""

from __future__ import annotations

import asyncio

import pytest

from sba_resilience import BreakerOpen, BulkheadFull, Deadline, DeadlineExceeded, Retry, RetryBudget
from sba_resilience.testing import FakeClock


class Flaky:
    """Fails as told, then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "ok"


async def test_it_tries_until_it_succeeds(clock: FakeClock) -> None:
    flaky = Flaky(OSError(), OSError())
    assert await Retry(3, retry_on=OSError, sleep=clock.sleep).call(flaky) == "ok"
    assert (flaky.calls, len(clock.slept)) == (3, 2)


async def test_the_last_error_is_raised_when_the_attempts_are_used_up(clock: FakeClock) -> None:
    last = OSError("second")
    flaky = Flaky(OSError("first"), last, OSError("third"))
    with pytest.raises(OSError, match="second") as caught:
        await Retry(2, retry_on=(OSError, KeyError), sleep=clock.sleep).call(flaky)
    assert caught.value is last


async def test_other_errors_are_not_tried_again(clock: FakeClock) -> None:
    flaky = Flaky(ValueError())
    with pytest.raises(ValueError):  # noqa: PT011 - raised by the test itself
        await Retry(5, retry_on=OSError, sleep=clock.sleep).call(flaky)
    assert flaky.calls == 1


@pytest.mark.parametrize("final", [DeadlineExceeded(1), BulkheadFull(1, 0), asyncio.CancelledError()])
async def test_some_errors_are_final_whatever_is_listed(clock: FakeClock, final: BaseException) -> None:
    flaky = Flaky(final)
    with pytest.raises(type(final)):
        await Retry(5, retry_on=BaseException, sleep=clock.sleep).call(flaky)
    assert flaky.calls == 1


async def test_waits_are_random_within_a_growing_bound(clock: FakeClock) -> None:
    for _ in range(200):
        await Retry(5, base=1.0, cap=3.0, retry_on=OSError, sleep=clock.sleep).call(Flaky(*[OSError()] * 4))
    by_attempt = [clock.slept[n::4] for n in range(4)]
    for waits, bound in zip(by_attempt, (1.0, 2.0, 3.0, 3.0), strict=True):
        assert all(0 <= wait <= bound for wait in waits)
        assert max(waits) > bound * 0.8
        assert min(waits) < bound * 0.2


async def test_retry_after_is_honoured(clock: FakeClock) -> None:
    await Retry(2, base=0.001, retry_on=BreakerOpen, sleep=clock.sleep).call(Flaky(BreakerOpen("b", 7.5)))
    assert clock.slept == [7.5]


async def test_a_wait_beyond_the_deadline_is_not_begun(clock: FakeClock) -> None:
    flaky = Flaky(BreakerOpen("b", 7.5))
    with Deadline.after(5).scope(), pytest.raises(BreakerOpen):
        await Retry(3, retry_on=BreakerOpen, sleep=clock.sleep).call(flaky)
    assert clock.slept == []


async def test_a_wait_longer_than_anyone_has_is_not_begun(clock: FakeClock) -> None:
    for asked in (31.0, float("inf")):
        with pytest.raises(BreakerOpen):
            await Retry(3, retry_on=BreakerOpen, sleep=clock.sleep).call(Flaky(BreakerOpen("b", asked)))
    assert clock.slept == []


async def test_what_is_worth_another_attempt_may_be_a_function(clock: FakeClock) -> None:
    retry = Retry(3, retry_on=lambda error: "again" in str(error), sleep=clock.sleep)
    assert await retry.call(Flaky(OSError("again"))) == "ok"
    with pytest.raises(OSError, match="never"):
        await retry.call(Flaky(OSError("never")))


async def test_cancellation_while_waiting_ends_it(clock: FakeClock) -> None:
    flaky = Flaky(OSError())
    forever = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await forever.wait()

    call = asyncio.ensure_future(Retry(3, retry_on=OSError, sleep=sleep).call(flaky))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert flaky.calls == 1


async def test_how_calls_ended_is_measured(clock: FakeClock, measured) -> None:
    def retry(**more: object) -> Retry:
        return Retry(2, base=0.1, retry_on=OSError, name="measured", sleep=clock.sleep, **more)

    empty = RetryBudget(0.0, 0.0, 1, clock=clock)
    assert empty.spend()
    await retry().call(Flaky())
    await retry().call(Flaky(OSError()))
    for used, errors in (
        (retry(), [KeyError()]),
        (retry(), [OSError(), OSError()]),
        (retry(budget=empty), [OSError()]),
    ):
        with pytest.raises((OSError, KeyError)):
            await used.call(Flaky(*errors))
    with Deadline.after(0).scope(), pytest.raises(ConnectionError):
        await retry().call(Flaky(ConnectionError()))
    ends = ("first_try", "recovered", "final", "exhausted", "no_budget", "no_time", "too_long")
    assert [measured("sba.retry.calls", retry="measured", end=end) for end in ends] == [1, 1, 1, 1, 1, 1, 0]
    assert measured("sba.retry.retries", retry="measured") == 2


def test_rules_that_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="attempts"):
        Retry(0, retry_on=OSError)
