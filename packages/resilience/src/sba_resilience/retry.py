"""Try an idempotent call again, after a random wait that grows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from sba_resilience.deadline import Deadline
from sba_resilience.errors import BulkheadFull, DeadlineExceeded

P = ParamSpec("P")
T = TypeVar("T")

Errors = type[BaseException] | tuple[type[BaseException], ...]


class Retry:
    """Full-jitter exponential back-off; only for calls that may run twice.

    The wait before attempt n is uniform between 0 and `base * 2**(n-1)`, at most `cap`; an error with a
    `retry_after` of its own is not tried again sooner. A wait that would pass the current deadline is not
    begun: the last error is raised instead. `DeadlineExceeded`, `BulkheadFull` and cancellation are final.

    Args:
        attempts: Calls in all, the first included.
        base: Seconds.
        cap: Seconds.
        retry_on: Errors worth another attempt.
        sleep: Waits the given seconds.
    """

    __slots__ = ("_attempts", "_retry_on", "_sleep", "_wait")

    def __init__(
        self,
        attempts: int = 3,
        base: float = 0.05,
        cap: float = 2.0,
        *,
        retry_on: Errors,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if attempts < 1 or base < 0 or cap < 0:
            raise ValueError("attempts is at least 1, base and cap at least 0")
        self._attempts = attempts
        self._retry_on = retry_on
        self._sleep = sleep
        self._wait = wait_random_exponential(multiplier=base, max=cap)

    async def call(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` until it succeeds, the attempts are used up or the error is not worth another.

        Raises:
            Exception: The last error of `fn`.
        """
        retrying = AsyncRetrying(
            sleep=self._sleep,
            stop=self._stop,
            wait=self._pause,
            retry=retry_if_exception(self._is_worth_another),
            reraise=True,
        )
        return await retrying(fn, *args, **kwargs)

    def _is_worth_another(self, error: BaseException) -> bool:
        return isinstance(error, self._retry_on) and not isinstance(
            error, DeadlineExceeded | BulkheadFull | asyncio.CancelledError
        )

    def _stop(self, state: RetryCallState) -> bool:
        if stop_after_attempt(self._attempts)(state):
            return True
        deadline = Deadline.current()
        return deadline is not None and deadline.remaining() <= state.upcoming_sleep

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return max(self._wait(state), float(getattr(error, "retry_after", None) or 0.0))
