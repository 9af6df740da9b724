"""A circuit breaker over the latest outcomes, with a bounded number of half-open probes."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import ParamSpec, TypeVar

from sba_resilience.deadline import Deadline
from sba_resilience.errors import BreakerOpen
from sba_resilience.faults import is_fault, ran_out, retry_after_of, status_of
from sba_resilience.shown import show_change, show_level
from sba_resilience.states import BreakerSnapshot, Mode, State
from sba_resilience.windows import CountWindow, TimeWindow, Window
from sba_telemetry import get_logger, tally

__all__ = ["Breaker", "BreakerSnapshot", "Mode", "State"]

_log = get_logger(__name__)
_events = tally("sba.breaker.events", description="Calls ok, failed, slow and refused, by breaker.")

P = ParamSpec("P")
T = TypeVar("T")


class Breaker:
    """Refuses calls to a dependency that keeps failing, or keeps being slow.

    It opens on a failure when at least `minimum_calls` outcomes are known and the share of failures
    among them reaches `failures`, and likewise on a slow call for `slow_rate`. After the open time it
    lets `half_open_permits` probes through, no more, and decides over all of them by the same shares,
    as soon as the result is certain: closed again, or open for the next, possibly longer, time.

    Args:
        name: Dependency and operation, such as `supabase.rpc`; never a tenant.
        failures: Share of failures that opens it, above 0 and up to 1.
        slow: Seconds beyond which a call is slow.
        slow_rate: Share of slow calls that opens it, above 0 and up to 1.
        window: How many of the latest outcomes count; None for all of the last `within` seconds.
        within: Seconds after which an outcome is forgotten.
        minimum_calls: Outcomes needed before it may open.
        open_for: Seconds it stays open before the first probe.
        open_growth: Factor on the open time each time the probes fail.
        open_cap: Seconds neither growth nor a dependency's `Retry-After` goes beyond.
        jitter: Share by which an open time may be longer, at random, so that processes do not probe together.
        half_open_permits: Probes after an open time.
        half_open_for: Seconds the probes may take before they count as failed.
        is_failure: Tells a failure of the dependency from an error that is the caller's own; an error it
            cannot tell, because it raises itself, is a failure.
        on_change: The first listener.
        shown: Whether its state is a metric; not where several breakers make up one state.
        clock: Monotonic seconds.
        chance: A random number from 0 to below 1, for the jitter.
    """

    __slots__ = (
        "_chance",
        "_clock",
        "_done",
        "_failed_cell",
        "_failures",
        "_generation",
        "_half_open_for",
        "_half_open_permits",
        "_half_open_since",
        "_is_failure",
        "_jitter",
        "_listeners",
        "_minimum_calls",
        "_mode",
        "_not_before",
        "_ok_cell",
        "_open_cap",
        "_open_for",
        "_open_growth",
        "_open_until",
        "_pause",
        "_probe_failed",
        "_probe_slow",
        "_probes",
        "_reason",
        "_refused_cell",
        "_shown",
        "_slow",
        "_slow_cell",
        "_slow_rate",
        "_state",
        "_window",
        "_would_open_cell",
        "name",
    )

    def __init__(  # noqa: PLR0913 - each is an independent rule, all named at the call
        self,
        name: str,
        *,
        failures: float = 0.5,
        slow: float = inf,
        slow_rate: float = 1.0,
        window: int | None = 20,
        within: float = 60.0,
        minimum_calls: int = 10,
        open_for: float = 5.0,
        open_growth: float = 1.0,
        open_cap: float = 60.0,
        jitter: float = 0.0,
        half_open_permits: int = 1,
        half_open_for: float = 30.0,
        is_failure: Callable[[BaseException], bool] = is_fault,
        on_change: Callable[[Breaker], None] | None = None,
        shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if not 0 < failures <= 1 or not 0 < slow_rate <= 1 or half_open_permits < 1:
            raise ValueError("need 0 < failures <= 1, 0 < slow_rate <= 1, half_open_permits >= 1")
        if not 1 <= minimum_calls <= (minimum_calls if window is None else window):
            raise ValueError("need 1 <= minimum_calls <= window")
        if min(within, open_for, half_open_for, slow) <= 0 or open_growth < 1 or jitter < 0:
            raise ValueError("need times above 0, open_growth >= 1, jitter >= 0")
        self.name = name
        self._failures = failures
        self._slow = slow
        self._slow_rate = slow_rate
        self._minimum_calls = minimum_calls
        self._open_for = self._pause = open_for
        self._open_growth = open_growth
        self._open_cap = max(open_cap, open_for)
        self._jitter = jitter
        self._half_open_permits = half_open_permits
        self._half_open_for = half_open_for
        self._is_failure = is_failure
        self._listeners = [] if on_change is None else [on_change]
        self._clock = clock
        self._chance = chance
        self._window: Window = TimeWindow(within) if window is None else CountWindow(window, within)
        self._state, self._mode, self._reason = State.CLOSED, Mode.AUTOMATIC, ""
        self._open_until = self._not_before = self._half_open_since = 0.0
        self._generation = self._probes = self._done = self._probe_failed = self._probe_slow = 0
        self._ok_cell, self._failed_cell, self._slow_cell, self._refused_cell, self._would_open_cell = (
            _events.cell({"breaker": name, "event": event})
            for event in ("ok", "failed", "slow", "refused", "would_open")
        )
        self._shown = shown
        if shown:
            show_level(name, self._state)

    @property
    def state(self) -> State:
        """The state as of the last call; an open breaker turns half open when a probe asks."""
        return self._state

    @property
    def mode(self) -> Mode:
        """Who decides about the state."""
        return self._mode

    @property
    def retry_after(self) -> float:
        """Seconds until a probe is let through; 0 unless open. Forced open it is `open_for`, to ask again."""
        if self._state is not State.OPEN:
            return 0.0
        if self._mode is Mode.FORCED_OPEN:
            return self._open_for
        return max(0.0, max(self._open_until, self._not_before) - self._clock())

    @property
    def snapshot(self) -> BreakerSnapshot:
        """State and figures at this moment."""
        window = self._window
        figures = (window.calls, window.failed, window.slow, self.retry_after)
        return BreakerSnapshot(self.name, self._state, self._mode, self._reason, *figures)

    def listen(self, listener: Callable[[Breaker], None]) -> Callable[[], None]:
        """Call `listener` with the breaker after every change of state or mode.

        What a listener raises is logged and reaches nobody else.

        Returns:
            Ends it; calling it again does nothing.
        """
        mine = [listener]
        self._listeners.append(listener)

        def end() -> None:
            while mine:
                self._listeners.remove(mine.pop())

        return end

    def allow(self) -> int:
        """Ask for permission; every permission must be answered by one `record` or `release`.

        Returns:
            The permit to hand back, so that a call begun before a change of state does not count after it.

        Raises:
            BreakerOpen: The dependency is not to be called now.
        """
        if self._state is State.CLOSED:
            return self._generation
        if self._state is State.OPEN:
            if self.retry_after > 0:
                raise self._refusal(self.retry_after)
            self._enter(State.HALF_OPEN, self._mode, self._reason)
        if self._probes + self._done >= self._half_open_permits:
            if self._clock() - self._half_open_since >= self._half_open_for:
                self._open("probes_hang")
            raise self._refusal(self.retry_after or self._open_for)
        self._probes += 1
        return self._generation

    def record(
        self, permit: int | None = None, *, ok: bool, seconds: float = 0.0, retry_after: float = 0.0
    ) -> None:
        """Report how a permitted call ended; without a permit it counts for the present state.

        Args:
            permit: What `allow` gave.
            ok: The dependency did not fail.
            seconds: How long it took.
            retry_after: Seconds the dependency asked to be left alone: it is not probed sooner.
        """
        cell = self._ok_cell if ok else self._failed_cell
        cell.count += 1
        slow = seconds > self._slow
        if slow:
            self._slow_cell.count += 1
        if retry_after > 0:
            asked = self._clock() + min(retry_after, self._open_cap)
            self._not_before = max(self._not_before, asked)
        if permit is not None and permit != self._generation:
            return
        if self._state is State.CLOSED:
            self._record_call(failed=not ok, slow=slow)
        elif self._state is State.HALF_OPEN:
            self._record_probe(failed=not ok, slow=slow)

    def release(self, permit: int) -> None:
        """Give a permit back without an outcome: cancelled, or an error of the caller's own."""
        if permit == self._generation and self._probes:
            self._probes -= 1

    async def call(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` if allowed and record how it ended.

        Cancellation by the caller is no outcome. Cancellation by the current deadline is a failure when
        `fn` had at least half of the deadline's time, otherwise the time was lost elsewhere. An error
        that is no failure but holds an HTTP status is an answer, and counts as one.

        Raises:
            BreakerOpen: `fn` was not run.
        """
        return await self.run(self.allow(), fn, *args, **kwargs)

    async def run(self, permit: int, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` on a permit of `allow` and record how it ended, as `call` does."""
        deadline, began = Deadline.current(), self._clock()
        given = deadline.remaining() if deadline is not None else 0.0
        try:
            result = await fn(*args, **kwargs)
        except BaseException as error:
            seconds = self._clock() - began
            failed, asked = self._judge(error, deadline, given)
            if failed is None:
                self.release(permit)
            else:
                self.record(permit, ok=not failed, seconds=seconds, retry_after=asked)
            raise
        self.record(permit, ok=True, seconds=self._clock() - began)
        return result

    def force_open(self) -> None:
        """Refuse every call until `reset`."""
        self._enter(State.OPEN, Mode.FORCED_OPEN, "forced")

    def force_closed(self) -> None:
        """Let every call through until `reset`, but measure: `would_open` counts what it would have done."""
        self._enter(State.CLOSED, Mode.FORCED_CLOSED, "forced")

    def disable(self) -> None:
        """Let every call through until `reset`, and measure nothing."""
        self._enter(State.CLOSED, Mode.DISABLED, "forced")

    def reset(self) -> None:
        """Close it, forget what happened and let the outcomes decide again."""
        self._close("reset")

    def _judge(
        self, error: BaseException, deadline: Deadline | None, given: float
    ) -> tuple[bool | None, float]:
        """Whether it failed, None for no outcome; and the seconds it asked to be left alone."""
        try:
            if self._is_failure(error) or ran_out(deadline, given, error):
                return True, retry_after_of(error)
            return (None if status_of(error) is None else False), 0.0
        except Exception as broken:  # noqa: BLE001 - a rule that fails may not keep the permit
            _log.error("breaker rule failed", breaker=self.name, error=type(broken).__name__)
            return (True if isinstance(error, Exception) else None), 0.0

    def _close(self, reason: str) -> None:
        self._window.clear()
        self._pause, self._not_before = self._open_for, 0.0
        self._enter(State.CLOSED, Mode.AUTOMATIC, reason)

    def _refusal(self, retry_after: float) -> BreakerOpen:
        self._refused_cell.count += 1
        return BreakerOpen(self.name, retry_after)

    def _reached(self, calls: int, failed: int, slow: int) -> str:
        if failed / calls >= self._failures:
            return "failures"
        return "slow" if slow / calls >= self._slow_rate else ""

    def _record_probe(self, *, failed: bool, slow: bool) -> None:
        self._probes = max(0, self._probes - 1)
        self._done += 1
        self._probe_failed += failed
        self._probe_slow += slow
        permits, rest = self._half_open_permits, self._half_open_permits - self._done
        if self._reached(permits, self._probe_failed, self._probe_slow):
            self._open("probes")
        elif not self._reached(permits, self._probe_failed + rest, self._probe_slow + rest):
            self._close("recovered")

    def _record_call(self, *, failed: bool, slow: bool) -> None:
        if self._mode is Mode.DISABLED:
            return
        window = self._window
        window.add(self._clock(), failed=failed, slow=slow)
        if not (failed or slow) or window.calls < self._minimum_calls:
            return
        reason = self._reached(window.calls, window.failed if failed else 0, window.slow if slow else 0)
        if reason and self._mode is Mode.AUTOMATIC:
            self._open(reason)
        elif reason:
            self._would_open_cell.count += 1

    def _open(self, reason: str) -> None:
        pause = self._pause * (1 + self._jitter * self._chance())
        self._pause = min(self._pause * self._open_growth, self._open_cap)
        self._open_until = self._clock() + pause
        self._enter(State.OPEN, self._mode, reason)

    def _enter(self, state: State, mode: Mode, reason: str) -> None:
        self._probes = self._done = self._probe_failed = self._probe_slow = 0
        self._generation += 1
        self._half_open_since = self._clock()
        before = (self._state, self._mode)
        self._state, self._mode, self._reason = state, mode, reason
        if before != (state, mode):
            self._tell(before[0])

    def _tell(self, before: State) -> None:
        now = self.snapshot
        if self._shown:
            show_change(self.name, now.state)
        if State.CLOSED in (before, now.state):
            figures = {"calls": now.calls, "failed": now.failed, "slow": now.slow}
            _log.warning(
                "breaker changed",
                breaker=self.name,
                state=now.state.value,
                mode=now.mode.value,
                reason=now.reason,
                retry_after=now.retry_after,
                **figures,
            )
        for listener in tuple(self._listeners):
            try:
                listener(self)
            except Exception as error:  # noqa: BLE001 - a listener may never break the call it hears of
                _log.error("breaker listener failed", breaker=self.name, error=type(error).__name__)
