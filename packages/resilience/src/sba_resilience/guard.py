"""Deadline, retry, breaker and bulkhead around one kind of call, in the only order that is right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from sba_resilience.breaker import Breaker
from sba_resilience.bulkhead import Bulkhead
from sba_resilience.deadline import Deadline
from sba_resilience.errors import BreakerOpen, BulkheadFull, DeadlineExceeded
from sba_resilience.retry import Retry
from sba_telemetry import counter

P = ParamSpec("P")
T = TypeVar("T")

_calls = counter("sba.guard.calls", description="Guarded calls by guard and outcome.")
_REFUSALS: tuple[tuple[type[BaseException], str], ...] = (
    (DeadlineExceeded, "deadline_exceeded"),
    (BreakerOpen, "breaker_open"),
    (BulkheadFull, "bulkhead_full"),
)


class Guard:
    """Makes one kind of call to one dependency; every part is optional.

    The deadline covers all attempts, waits included. Each attempt asks the breaker and takes a place in
    the bulkhead; a full bulkhead says nothing about the dependency, so the breaker does not count it.

    Args:
        name: Dependency and operation, such as `supabase.rpc`; never a tenant.
        deadline: Seconds for the whole call.
        retry: Only for idempotent calls.
        breaker: Shared by all guards of the same dependency and operation.
        bulkhead: Bounds the calls in flight.
    """

    __slots__ = ("_breaker", "_bulkhead", "_deadline", "_retry", "name")

    def __init__(
        self,
        name: str,
        *,
        deadline: float | None = None,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        bulkhead: Bulkhead | None = None,
    ) -> None:
        self.name = name
        self._deadline = deadline
        self._retry = retry
        self._breaker = breaker
        self._bulkhead = bulkhead

    async def call(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` under all of the rules.

        Raises:
            DeadlineExceeded: The whole call took too long.
            BreakerOpen: The dependency is not to be called now.
            BulkheadFull: Too many calls are in flight.
            Exception: The last error of `fn`.
        """

        async def work() -> T:
            return await fn(*args, **kwargs)

        try:
            result = await self._within_deadline(work)
        except BaseException as error:
            _calls.add(1, {"guard": self.name, "outcome": _outcome(error)})
            raise
        _calls.add(1, {"guard": self.name, "outcome": "ok"})
        return result

    async def _within_deadline(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._deadline is None:
            return await self._with_retries(work)
        async with Deadline.after(self._deadline).bound():
            return await self._with_retries(work)

    async def _with_retries(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._retry is None:
            return await self._attempt(work)
        return await self._retry.call(self._attempt, work)

    async def _attempt(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._breaker is None:
            return await self._in_bulkhead(work)
        return await self._breaker.call(self._in_bulkhead, work)

    async def _in_bulkhead(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._bulkhead is None:
            return await work()
        return await self._bulkhead.call(work)


def _outcome(error: BaseException) -> str:
    return next((outcome for kind, outcome in _REFUSALS if isinstance(error, kind)), "error")
