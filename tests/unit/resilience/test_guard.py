"""All parts in their order, and what a guard tells about itself."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from sba_resilience import (
    Breaker,
    BreakerOpen,
    Bulkhead,
    BulkheadFull,
    Deadline,
    DeadlineExceeded,
    Guard,
    Retry,
    State,
)
from sba_resilience.testing import FakeClock


class Wrong(Exception):
    status_code = 400


def again(clock: FakeClock, attempts: int = 3) -> Retry:
    return Retry(attempts, base=0.0, retry_on=ConnectionError, sleep=clock.sleep)


async def broken() -> None:
    raise ConnectionError


async def test_the_order_is_deadline_retry_breaker_bulkhead_call(clock: FakeClock) -> None:
    seen: list[str] = []

    class Seen(Breaker):
        def allow(self) -> int:
            seen.append(f"breaker, deadline {Deadline.current() is not None}")
            return super().allow()

    class Places(Bulkhead):
        @asynccontextmanager
        async def place(self):
            seen.append("place")
            async with super().place():
                yield
            seen.append("place given back")

    async def sleep(seconds: float) -> None:
        seen.append(f"wait, in flight {bulkhead.snapshot.in_flight}")

    async def work() -> str:
        seen.append("call")
        if seen.count("call") < 2:
            raise ConnectionError
        return "ok"

    bulkhead = Places(1)
    retry = Retry(3, retry_on=ConnectionError, sleep=sleep)
    guard = Guard("order", deadline=30, retry=retry, breaker=Seen("order"), bulkhead=bulkhead)
    assert await guard.call_idempotent(work) == "ok"
    first = ["breaker, deadline True", "place", "call", "wait, in flight 0"]
    assert seen == [*first, "breaker, deadline True", "place", "call", "place given back"]


async def test_only_a_call_that_says_it_is_idempotent_is_repeated(clock: FakeClock) -> None:
    calls = 0

    async def flaky() -> str:
        nonlocal calls
        calls += 1
        raise ConnectionError

    guard = Guard("once", retry=again(clock))
    for made, expected in (
        (guard.call(flaky), 1),
        (guard.wrap()(flaky)(), 1),
        (guard.call_idempotent(flaky), 3),
        (guard.wrap(idempotent=True)(flaky)(), 3),
    ):
        calls = 0
        with pytest.raises(ConnectionError):
            await made
        assert calls == expected


async def test_every_attempt_asks_the_breaker(clock: FakeClock) -> None:
    breaker = Breaker("b", window=4, minimum_calls=2, failures=1.0, open_for=60, clock=clock)
    guard = Guard("test.call", retry=again(clock, 10), breaker=breaker, bulkhead=Bulkhead(1))
    with pytest.raises(BreakerOpen):
        await guard.call_idempotent(broken)
    assert breaker.state is State.OPEN
    assert len(clock.slept) == 2


async def test_the_deadline_covers_all_attempts() -> None:
    retry = Retry(1000, base=0.001, cap=0.002, retry_on=ConnectionError)
    with pytest.raises((DeadlineExceeded, ConnectionError)):
        await Guard("test.slow", deadline=0.03, retry=retry).call_idempotent(broken)


async def test_a_full_bulkhead_is_not_retried_and_not_held_against_the_dependency(clock: FakeClock) -> None:
    breaker = Breaker("b", window=1, minimum_calls=1)
    bulkhead = Bulkhead(1)
    guard = Guard("test.full", retry=Retry(5, retry_on=Exception), breaker=breaker, bulkhead=bulkhead)
    async with bulkhead.place():
        with pytest.raises(BulkheadFull):
            await guard.call_idempotent(asyncio.sleep, 0)
    assert breaker.state is State.CLOSED


async def test_waiting_for_a_place_is_not_slowness_of_the_dependency(clock: FakeClock) -> None:
    breaker = Breaker("b", slow=1.0, slow_rate=1.0, window=1, minimum_calls=1, clock=clock)
    bulkhead = Bulkhead(1, queue=1)
    guard = Guard("test.queue", breaker=breaker, bulkhead=bulkhead)
    async with bulkhead.place():
        waiting = asyncio.ensure_future(guard.call(asyncio.sleep, 0))
        await asyncio.sleep(0)
        clock.advance(100.0)
    await waiting
    assert breaker.state is State.CLOSED
    assert breaker.snapshot.slow == 0


@pytest.mark.parametrize("steps", range(12))
async def test_cancelled_at_any_moment_it_leaks_neither_place_nor_permit(
    clock: FakeClock, steps: int
) -> None:
    breaker = Breaker("b", window=1, minimum_calls=1, open_for=5.0, half_open_permits=2, clock=clock)
    bulkhead = Bulkhead(1, queue=2)
    guard = Guard("test.cancel", deadline=30, retry=again(clock), breaker=breaker, bulkhead=bulkhead)
    breaker.record(ok=False)
    clock.advance(5.0)

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        raise ConnectionError

    calls = [asyncio.ensure_future(guard.call_idempotent(work)) for _ in range(2)]
    for _ in range(steps):
        await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert (bulkhead.snapshot.in_flight, bulkhead.snapshot.waiting, breaker._probes) == (0, 0, 0)


async def test_a_fallback_answers_for_refusals_and_faults_but_not_for_a_wrong_request(
    clock: FakeClock, measured
) -> None:
    errors: list[BaseException] = [ConnectionError(), BulkheadFull(1, 0), BreakerOpen("b", 1.0), Wrong()]

    async def cached(error: Exception, document: str) -> str:
        return f"{type(error).__name__} {document}"

    guard = Guard("test.fallback")

    @guard.wrap(fallback=cached)
    async def fetch(document: str) -> str:
        raise errors.pop(0)

    answers = [await fetch("d") for _ in range(3)]
    assert answers == ["ConnectionError d", "BulkheadFull d", "BreakerOpen d"]
    with pytest.raises(Wrong):
        await fetch("d")
    assert fetch.__name__ == "fetch"
    assert measured("sba.guard.fallbacks", guard="test.fallback") == 3


async def test_calls_and_attempts_are_measured_by_name(clock: FakeClock, measured) -> None:
    async def add(a: int, *, b: int) -> int:
        return a + b

    guard = Guard("test.counted", retry=again(clock), bulkhead=Bulkhead(1))
    assert await guard.call(add, 1, b=2) == 3
    with pytest.raises(ConnectionError):
        await guard.call_idempotent(broken)
    cancelled = asyncio.ensure_future(guard.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    outcomes = ("ok", "error", "cancelled", "breaker_open", "bulkhead_full", "deadline_exceeded")
    counted = [measured("sba.guard.calls", guard="test.counted", outcome=outcome) for outcome in outcomes]
    assert counted == [1, 1, 1, 0, 0, 0]
    assert measured("sba.guard.attempts", guard="test.counted") == 5


async def test_a_snapshot_says_whether_it_serves_and_how_full_it_is(clock: FakeClock) -> None:
    breaker, bulkhead = Breaker("b", clock=clock), Bulkhead(3, name="b")
    guard = Guard("test.ready", breaker=breaker, bulkhead=bulkhead)
    async with bulkhead.place():
        now = guard.snapshot
    assert (now.serving, now.breaker.state, now.bulkhead.in_flight) == (True, State.CLOSED, 1)
    breaker.force_open()
    assert not guard.snapshot.serving
    plain = Guard("test.plain").snapshot
    assert (plain.serving, plain.breaker, plain.bulkhead) == (True, None, None)
