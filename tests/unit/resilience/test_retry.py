"""How often and how long a call is tried again."""

from __future__ import annotations

import asyncio

import pytest

from sba_resilience import BreakerOpen, BulkheadFull, Deadline, DeadlineExceeded, Retry


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


class Sleep:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def sleep() -> Sleep:
    return Sleep()


async def test_it_tries_until_it_succeeds(sleep: Sleep) -> None:
    flaky = Flaky(OSError(), OSError())
    assert await Retry(3, retry_on=OSError, sleep=sleep).call(flaky) == "ok"
    assert (flaky.calls, len(sleep.slept)) == (3, 2)


async def test_the_last_error_is_raised_when_the_attempts_are_used_up(sleep: Sleep) -> None:
    last = OSError("second")
    flaky = Flaky(OSError("first"), last, OSError("third"))
    with pytest.raises(OSError, match="second") as caught:
        await Retry(2, retry_on=(OSError, KeyError), sleep=sleep).call(flaky)
    assert caught.value is last


async def test_other_errors_are_not_tried_again(sleep: Sleep) -> None:
    flaky = Flaky(ValueError())
    with pytest.raises(ValueError):  # noqa: PT011 - raised by the test itself
        await Retry(5, retry_on=OSError, sleep=sleep).call(flaky)
    assert flaky.calls == 1


@pytest.mark.parametrize("final", [DeadlineExceeded(1), BulkheadFull(1, 0), asyncio.CancelledError()])
async def test_some_errors_are_final_whatever_is_listed(sleep: Sleep, final: BaseException) -> None:
    flaky = Flaky(final)
    with pytest.raises(type(final)):
        await Retry(5, retry_on=BaseException, sleep=sleep).call(flaky)
    assert flaky.calls == 1


async def test_waits_are_random_within_a_growing_bound(sleep: Sleep) -> None:
    for _ in range(200):
        await Retry(5, base=1.0, cap=3.0, retry_on=OSError, sleep=sleep).call(Flaky(*[OSError()] * 4))
    by_attempt = [sleep.slept[n::4] for n in range(4)]
    for waits, bound in zip(by_attempt, (1.0, 2.0, 3.0, 3.0), strict=True):
        assert all(0 <= wait <= bound for wait in waits)
        assert max(waits) > bound * 0.8
        assert min(waits) < bound * 0.2


async def test_retry_after_is_honoured(sleep: Sleep) -> None:
    await Retry(2, base=0.001, retry_on=BreakerOpen, sleep=sleep).call(Flaky(BreakerOpen("b", 7.5)))
    assert sleep.slept == [7.5]


async def test_a_wait_beyond_the_deadline_is_not_begun(sleep: Sleep) -> None:
    flaky = Flaky(BreakerOpen("b", 7.5))
    with Deadline.after(5).scope(), pytest.raises(BreakerOpen):
        await Retry(3, retry_on=BreakerOpen, sleep=sleep).call(flaky)
    assert sleep.slept == []


def test_rules_that_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="attempts"):
        Retry(0, retry_on=OSError)
