"""Try an idempotent call again, after a random wait that grows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.wait import wait_random_exponential

from sba_resilience.budget import RetryBudget
from sba_resilience.deadline import Deadline
from sba_resilience.errors import BulkheadFull, DeadlineExceeded
from sba_resilience.faults import retry_after_of
from sba_telemetry import tally

_calls = tally(
    "sba.retry.calls",
    description="By retry and end: first_try, recovered, final, exhausted, no_time, too_long, no_budget.",
)
_retries = tally("sba.retry.retries", description="Attempts after the first, by retry.")

P = ParamSpec("P")
T = TypeVar("T")

Errors = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]
_FINAL = (DeadlineExceeded, BulkheadFull, asyncio.CancelledError)


class Retry:
    """Full-jitter exponential back-off; only for calls that may run twice.

    The wait before attempt n is uniform between 0 and `base * 2**(n-1)`, at most `cap`; an error with a
    `retry_after` of its own is not tried again sooner. A wait that would pass the current deadline, or
    one longer than `longest_wait`, is not begun, and neither is a retry the budget has no room for: the
    last error is raised instead. `DeadlineExceeded`, `BulkheadFull` and cancellation are final.

    Args:
        attempts: Calls in all, the first included.
        base: Seconds.
        cap: Seconds.
        retry_on: Errors worth another attempt, as classes or as a function of the error.
        longest_wait: Seconds a `retry_after` may ask for.
        budget: Shared by all callers of a dependency.
        name: Dependency and operation in the metrics; never a tenant.
        sleep: Waits the given seconds.
    """

    __slots__ = (
        "_attempts",
        "_budget",
        "_cells",
        "_longest_wait",
        "_retried",
        "_retry_on",
        "_sleep",
        "_wait",
    )

    def __init__(
        self,
        attempts: int = 3,
        base: float = 0.05,
        cap: float = 2.0,
        *,
        retry_on: Errors,
        longest_wait: float = 30.0,
        budget: RetryBudget | None = None,
        name: str = "default",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if attempts < 1 or min(base, cap, longest_wait) < 0:
            raise ValueError("attempts is at least 1, base, cap and longest_wait at least 0")
        self._attempts = attempts
        self._retry_on = retry_on
        self._longest_wait = max(longest_wait, cap)
        self._budget = budget
        self._sleep = sleep
        self._wait = wait_random_exponential(multiplier=base, max=cap)
        ends = ("first_try", "recovered", "final", "exhausted", "no_time", "too_long", "no_budget")
        self._cells = {end: _calls.cell({"retry": name, "end": end}) for end in ends}
        self._retried = _retries.cell({"retry": name})

    async def call(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` until it succeeds, the attempts are used up or the error is not worth another.

        Raises:
            Exception: The last error of `fn`.
        """
        if self._budget is not None:
            self._budget.earn()
        try:
            result = await fn(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - raised again by what decides whether to repeat
            return await self._repeat(error, fn, *args, **kwargs)
        self._cells["first_try"].count += 1
        return result

    async def _repeat(
        self, first: Exception, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        failed = [first]

        async def attempt(*args: P.args, **kwargs: P.kwargs) -> T:
            if failed:
                raise failed.pop()
            return await fn(*args, **kwargs)

        result: T = await self._retrying()(attempt, *args, **kwargs)
        self._cells["recovered"].count += 1
        return result

    def _retrying(self) -> AsyncRetrying:
        return AsyncRetrying(
            sleep=self._pause,
            stop=self._stop,
            wait=self._upcoming,
            retry=retry_if_exception(self._is_worth_another),
            reraise=True,
        )

    async def _pause(self, seconds: Any) -> None:  # noqa: ANN401 - tenacity says int or float
        await self._sleep(seconds)
        self._retried.count += 1

    def _is_worth_another(self, error: BaseException) -> bool:
        worth = not isinstance(error, _FINAL) and (
            isinstance(error, self._retry_on)
            if isinstance(self._retry_on, type | tuple)
            else self._retry_on(error)
        )
        if not worth:
            self._cells["final"].count += 1
        return worth

    def _stop(self, state: RetryCallState) -> bool:
        reason = self._reason_to_stop(state.attempt_number, state.upcoming_sleep)
        if reason:
            self._cells[reason].count += 1
        return bool(reason)

    def _reason_to_stop(self, attempt: int, wait: float) -> str:
        deadline = Deadline.current()
        if attempt >= self._attempts:
            return "exhausted"
        if wait > self._longest_wait:
            return "too_long"
        if deadline is not None and deadline.remaining() <= wait:
            return "no_time"
        return "" if self._budget is None or self._budget.spend() else "no_budget"

    def _upcoming(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return max(self._wait(state), retry_after_of(error) if error is not None else 0.0)
