"""Bulkhead alone, and all parts in their order."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

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
from sba_telemetry import use_meter_provider


async def test_a_bulkhead_bounds_calls_and_waiters() -> None:
    bulkhead, gate = Bulkhead(2, queue=3), asyncio.Event()
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    calls = [asyncio.ensure_future(bulkhead.call(work)) for _ in range(10)]
    await asyncio.sleep(0)
    gate.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert most == 2
    refused = [outcome for outcome in outcomes if isinstance(outcome, BulkheadFull)]
    assert len(refused) == 5
    assert (refused[0].limit, refused[0].queue) == (2, 3)


async def test_a_place_is_given_back_after_failure_and_cancellation() -> None:
    bulkhead = Bulkhead(1, queue=1)
    with pytest.raises(KeyError):
        async with bulkhead.place():
            raise KeyError
    holder = asyncio.ensure_future(bulkhead.call(asyncio.Event().wait))
    waiter = asyncio.ensure_future(bulkhead.call(asyncio.Event().wait))
    await asyncio.sleep(0)
    waiter.cancel()
    holder.cancel()
    await asyncio.gather(holder, waiter, return_exceptions=True)
    async with bulkhead.place():
        pass


def test_a_bulkhead_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        Bulkhead(0)


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


async def test_every_attempt_asks_the_breaker_and_takes_a_place() -> None:
    calls = 0

    async def broken() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError

    breaker = Breaker("b", window=4, minimum_calls=2, failures=1.0, open_for=60)
    guard = Guard(
        "test.call",
        deadline=30,
        retry=Retry(10, base=0, retry_on=ConnectionError, sleep=no_sleep),
        breaker=breaker,
        bulkhead=Bulkhead(1),
    )
    with pytest.raises(BreakerOpen):
        await guard.call(broken)
    assert calls == 2
    assert breaker.state is State.OPEN


async def test_the_deadline_covers_all_attempts() -> None:
    guard = Guard(
        "test.slow", deadline=0.03, retry=Retry(1000, base=0.001, cap=0.002, retry_on=ConnectionError)
    )

    async def broken() -> None:
        assert Deadline.current() is not None
        raise ConnectionError

    with pytest.raises((DeadlineExceeded, ConnectionError)):
        await guard.call(broken)


async def test_a_full_bulkhead_is_not_retried_and_not_held_against_the_dependency() -> None:
    breaker = Breaker("b", window=1, minimum_calls=1)
    bulkhead = Bulkhead(1)
    guard = Guard("test.full", retry=Retry(5, retry_on=Exception), breaker=breaker, bulkhead=bulkhead)
    async with bulkhead.place():
        with pytest.raises(BulkheadFull):
            await guard.call(asyncio.sleep, 0)
    assert breaker.state is State.CLOSED


async def test_a_guard_without_parts_only_calls_and_counts() -> None:
    reader = InMemoryMetricReader()
    use_meter_provider(MeterProvider([reader]))
    try:

        async def add(a: int, *, b: int) -> int:
            return a + b

        guard = Guard("test.counted")
        assert await guard.call(add, 1, b=2) == 3
        with pytest.raises(TypeError):
            await guard.call(add, 1)  # type: ignore[call-arg]  # what the test is about
        counted = _points(reader, "sba.guard.calls")
    finally:
        use_meter_provider(None)
    assert counted == {("test.counted", "ok"): 1, ("test.counted", "error"): 1}


def _points(reader: InMemoryMetricReader, name: str) -> dict[tuple[object, object], int]:
    data = reader.get_metrics_data()
    assert data is not None
    metrics = [
        metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
    ]
    return {
        (point.attributes["guard"], point.attributes["outcome"]): point.value
        for metric in metrics
        for point in metric.data.data_points
    }
