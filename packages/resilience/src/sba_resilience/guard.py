"""Deadline, retry, breaker and bulkhead around one kind of call, in the only order that is right."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from sba_resilience.breaker import Breaker, BreakerSnapshot, State
from sba_resilience.bulkhead import Bulkhead, BulkheadSnapshot
from sba_resilience.deadline import Deadline
from sba_resilience.errors import BreakerOpen, BulkheadFull, DeadlineExceeded
from sba_resilience.faults import is_fault
from sba_resilience.retry import Retry
from sba_telemetry import histogram, tally

P = ParamSpec("P")
T = TypeVar("T")

_calls = tally("sba.guard.calls", description="Guarded calls by guard and outcome.")
_attempts = tally("sba.guard.attempts", description="Attempts of guarded calls, by guard.")
_fallbacks = tally("sba.guard.fallbacks", description="Calls answered by their fallback, by guard.")
_seconds = histogram("sba.guard.duration", unit="s", description="Guarded calls, all attempts together.")

_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (DeadlineExceeded, "deadline_exceeded"),
    (BreakerOpen, "breaker_open"),
    (BulkheadFull, "bulkhead_full"),
    (asyncio.CancelledError, "cancelled"),
    (BaseException, "error"),
)
Wrapped = Callable[P, Coroutine[Any, Any, T]]


@dataclass(frozen=True, slots=True)
class GuardSnapshot:
    """A guard at one moment, for a readiness page.

    Attributes:
        name: The guard.
        serving: Its breaker lets calls through; true without a breaker.
        breaker: Its breaker, if it has one.
        bulkhead: Its bulkhead, if it has one.
    """

    name: str
    serving: bool
    breaker: BreakerSnapshot | None
    bulkhead: BulkheadSnapshot | None


class Guard:
    """Makes one kind of call to one dependency; every part is optional.

    The deadline covers all attempts, waits included. Each attempt asks the breaker and then takes a place
    in the bulkhead; time spent waiting for the place, and a place that never came, say nothing about the
    dependency, so the breaker sees the call alone.

    `call` makes one attempt, whatever the guard holds: only `call_idempotent`, which says so, repeats.

    Args:
        name: Dependency and operation, such as `supabase.rpc`; never a tenant.
        deadline: Seconds for the whole call.
        retry: How `call_idempotent` repeats.
        breaker: Shared by all guards of the same dependency and operation.
        bulkhead: Bounds the calls in flight.
        clock: Monotonic seconds, for the measured durations.
    """

    __slots__ = (
        "_attempts",
        "_breaker",
        "_bulkhead",
        "_cells",
        "_clock",
        "_deadline",
        "_fallbacks",
        "_retry",
        "name",
    )

    def __init__(
        self,
        name: str,
        *,
        deadline: float | None = None,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        bulkhead: Bulkhead | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._deadline = deadline
        self._retry = retry
        self._breaker = breaker
        self._bulkhead = bulkhead
        self._clock = clock
        outcomes = ("ok", *(outcome for _, outcome in _OUTCOMES))
        self._cells = {outcome: _calls.cell({"guard": name, "outcome": outcome}) for outcome in outcomes}
        self._attempts = _attempts.cell({"guard": name})
        self._fallbacks = _fallbacks.cell({"guard": name})

    @property
    def snapshot(self) -> GuardSnapshot:
        """Whether it lets calls through, and how full it is, at this moment."""
        breaker = None if self._breaker is None else self._breaker.snapshot
        bulkhead = None if self._bulkhead is None else self._bulkhead.snapshot
        serving = breaker is None or breaker.state is not State.OPEN
        return GuardSnapshot(self.name, serving, breaker, bulkhead)

    async def call(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` under all of the rules, once.

        Raises:
            DeadlineExceeded: The whole call took too long.
            BreakerOpen: The dependency is not to be called now.
            BulkheadFull: Too many calls are in flight.
            Exception: The error of `fn`.
        """
        return await self._counted(None, functools.partial(fn, *args, **kwargs))

    async def call_idempotent(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn`, which may safely run more than once, under all of the rules, repeated as `retry` says.

        Raises:
            DeadlineExceeded: The whole call took too long.
            BreakerOpen: The dependency is not to be called now.
            BulkheadFull: Too many calls are in flight.
            Exception: The last error of `fn`.
        """
        return await self._counted(self._retry, functools.partial(fn, *args, **kwargs))

    def wrap(
        self, *, idempotent: bool = False, fallback: Callable[..., Awaitable[Any]] | None = None
    ) -> Callable[[Callable[P, Awaitable[T]]], Wrapped[P, T]]:
        """Guard a function wherever it is called: the decorator form.

        Args:
            idempotent: It may safely run more than once, and is repeated as `retry` says.
            fallback: Answers in its place, from the error and the call's own arguments, when the guard
                refused or the dependency failed; a wrong request and cancellation are passed on.
        """

        def guarded(fn: Callable[P, Awaitable[T]]) -> Wrapped[P, T]:
            retry = self._retry if idempotent else None

            @functools.wraps(fn)
            async def call(*args: P.args, **kwargs: P.kwargs) -> T:
                try:
                    return await self._counted(retry, functools.partial(fn, *args, **kwargs))
                except Exception as error:
                    if fallback is None or not (isinstance(error, BulkheadFull) or is_fault(error)):
                        raise
                    self._fallbacks.count += 1
                    answer: T = await fallback(error, *args, **kwargs)
                    return answer

            return call

        return guarded

    async def _counted(self, retry: Retry | None, work: Callable[[], Awaitable[T]]) -> T:
        began, outcome = self._clock(), "ok"
        try:
            return await self._within_deadline(retry, work)
        except BaseException as error:
            outcome = next(name for kind, name in _OUTCOMES if isinstance(error, kind))
            raise
        finally:
            self._cells[outcome].count += 1
            _seconds.record(self._clock() - began, {"guard": self.name, "outcome": outcome})

    async def _within_deadline(self, retry: Retry | None, work: Callable[[], Awaitable[T]]) -> T:
        if self._deadline is None:
            return await self._with_retries(retry, work)
        async with Deadline.after(self._deadline).bound():
            return await self._with_retries(retry, work)

    async def _with_retries(self, retry: Retry | None, work: Callable[[], Awaitable[T]]) -> T:
        if retry is None:
            return await self._attempt(work)
        return await retry.call(self._attempt, work)

    async def _attempt(self, work: Callable[[], Awaitable[T]]) -> T:
        self._attempts.count += 1
        if self._breaker is None:
            async with self._place():
                return await work()
        permit, begun = self._breaker.allow(), False
        try:
            async with self._place():
                begun = True
                return await self._breaker.run(permit, work)
        finally:
            if not begun:
                self._breaker.release(permit)

    def _place(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._bulkhead is None else self._bulkhead.place()
