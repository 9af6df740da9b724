"""A circuit breaker over the last N outcomes, with a bounded number of half-open probes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import ParamSpec, TypeVar

from sba_resilience.deadline import Deadline
from sba_resilience.errors import BreakerOpen, BulkheadFull
from sba_telemetry import counter, get_logger

_log = get_logger(__name__)
_changes = counter("sba.breaker.changes", description="Changes of state by breaker and new state.")

P = ParamSpec("P")
T = TypeVar("T")


class State(StrEnum):
    """What a breaker does with the next call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


def any_exception(error: BaseException) -> bool:
    """Count every exception as a failure of the dependency, except a full bulkhead; cancellation is none."""
    return isinstance(error, Exception) and not isinstance(error, BulkheadFull)


def _used_up(deadline: Deadline | None, given: float, error: BaseException) -> bool:
    cancelled = isinstance(error, asyncio.CancelledError)
    return deadline is not None and cancelled and deadline.remaining() <= 0 and given >= deadline.budget / 2


class Breaker:
    """Refuses calls to a dependency that keeps failing.

    It opens when at least `minimum_calls` of the last `window` outcomes are known and the share of
    failures among them reaches `failures`. After `open_for` seconds it lets `half_open_permits` probes
    through at once: as many successes close it, one failure opens it again.

    Args:
        name: Dependency and operation, such as `supabase.rpc`; never a tenant.
        failures: Share of failures that opens it, above 0 and up to 1.
        window: How many of the latest outcomes count.
        minimum_calls: Outcomes needed before it may open.
        open_for: Seconds it stays open before the first probe.
        half_open_permits: Probes in flight at once while half open.
        within: Seconds after which an outcome is forgotten.
        is_failure: Tells a failure of the dependency from an error that is the caller's own.
        on_change: Called with the breaker after every change of state.
        clock: Monotonic seconds.
    """

    __slots__ = (
        "_clock",
        "_failed",
        "_failures",
        "_forced",
        "_generation",
        "_half_open_permits",
        "_is_failure",
        "_minimum_calls",
        "_on_change",
        "_open_for",
        "_opened_at",
        "_outcomes",
        "_passed",
        "_probes",
        "_state",
        "_window",
        "_within",
        "name",
    )

    def __init__(  # noqa: PLR0913 - each is an independent rule, all named at the call
        self,
        name: str,
        *,
        failures: float = 0.5,
        window: int = 20,
        minimum_calls: int = 10,
        open_for: float = 5.0,
        half_open_permits: int = 1,
        within: float = 60.0,
        is_failure: Callable[[BaseException], bool] = any_exception,
        on_change: Callable[[Breaker], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < failures <= 1 or not 1 <= minimum_calls <= window or half_open_permits < 1:
            raise ValueError("need 0 < failures <= 1, 1 <= minimum_calls <= window, half_open_permits >= 1")
        self.name = name
        self._failures = failures
        self._window = window
        self._minimum_calls = minimum_calls
        self._open_for = open_for
        self._half_open_permits = half_open_permits
        self._within = within
        self._is_failure = is_failure
        self._on_change = on_change
        self._clock = clock
        self._state = State.CLOSED
        self._forced = False
        self._generation = 0
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._opened_at = 0.0
        self._probes = 0
        self._passed = 0

    @property
    def state(self) -> State:
        """The state as of the last call; an open breaker turns half open when a probe asks."""
        return self._state

    @property
    def retry_after(self) -> float:
        """Seconds until a probe is let through; 0 unless open."""
        if self._state is not State.OPEN:
            return 0.0
        return max(0.0, self._opened_at + self._open_for - self._clock())

    def allow(self) -> int:
        """Ask for permission; every permission must be answered by one `record` or `release`.

        Returns:
            The permit to hand back, so that a call begun before a change of state does not count after it.

        Raises:
            BreakerOpen: The dependency is not to be called now.
        """
        if self._state is State.OPEN:
            if self._forced or self.retry_after > 0:
                raise BreakerOpen(self.name, self.retry_after)
            self._enter(State.HALF_OPEN)
        if self._state is State.HALF_OPEN:
            if self._probes >= self._half_open_permits:
                raise BreakerOpen(self.name, self._open_for)
            self._probes += 1
        return self._generation

    def record(self, permit: int | None = None, *, ok: bool) -> None:
        """Report how a permitted call ended; without a permit it counts for the present state."""
        if permit is not None and permit != self._generation:
            return
        if self._state is State.HALF_OPEN:
            self._record_probe(ok=ok)
        elif self._state is State.CLOSED:
            self._record_call(ok=ok)

    def release(self, permit: int) -> None:
        """Give a permit back without an outcome: cancelled, or an error of the caller's own."""
        if permit == self._generation and self._probes:
            self._probes -= 1

    async def call(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` if allowed and record how it ended.

        Cancellation by the caller is no outcome. Cancellation by the current deadline is a failure when
        `fn` had at least half of the deadline's time, otherwise the time was lost elsewhere.

        Raises:
            BreakerOpen: `fn` was not run.
        """
        permit, deadline = self.allow(), Deadline.current()
        given = deadline.remaining() if deadline is not None else 0.0
        try:
            result = await fn(*args, **kwargs)
        except BaseException as error:
            if self._is_failure(error) or _used_up(deadline, given, error):
                self.record(permit, ok=False)
            else:
                self.release(permit)
            raise
        self.record(permit, ok=True)
        return result

    def force_open(self) -> None:
        """Refuse every call until `reset`."""
        self._forced = True
        self._open()

    def reset(self) -> None:
        """Close it and forget what happened."""
        self._forced = False
        self._outcomes.clear()
        self._failed = 0
        self._enter(State.CLOSED)

    def _record_probe(self, *, ok: bool) -> None:
        self._probes = max(0, self._probes - 1)
        if not ok:
            self._open()
            return
        self._passed += 1
        if self._passed >= self._half_open_permits:
            self.reset()

    def _record_call(self, *, ok: bool) -> None:
        now = self._clock()
        self._outcomes.append((now, ok))
        self._failed += not ok
        while len(self._outcomes) > self._window or self._outcomes[0][0] < now - self._within:
            self._failed -= not self._outcomes.popleft()[1]
        known = len(self._outcomes)
        if not ok and known >= self._minimum_calls and self._failed >= self._failures * known:
            self._open()

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        self._probes = self._passed = 0
        self._generation += 1
        if state is self._state:
            return
        before, self._state = self._state, state
        _changes.add(1, {"breaker": self.name, "state": state.value})
        if State.CLOSED in (before, state):
            _log.warning("breaker changed", breaker=self.name, state=state.value)
        if self._on_change is not None:
            self._on_change(self)
