"""Places are bounded, handed over in order, and never lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sba_resilience import Bulkhead, BulkheadFull


async def turns(n: int = 3) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_it_bounds_calls_and_waiters() -> None:
    bulkhead, gate = Bulkhead(2, queue=3), asyncio.Event()
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    calls = [asyncio.ensure_future(bulkhead.call(work)) for _ in range(10)]
    await turns()
    assert (bulkhead.snapshot.in_flight, bulkhead.snapshot.waiting) == (2, 3)
    gate.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert most == 2
    refused = [outcome for outcome in outcomes if isinstance(outcome, BulkheadFull)]
    assert len(refused) == 5
    assert (refused[0].limit, refused[0].queue, refused[0].waited) == (2, 3, 0.0)


async def test_a_free_place_goes_to_the_one_that_waited_longest_not_to_a_newcomer() -> None:
    bulkhead, order = Bulkhead(1, queue=10), []

    async def work(n: int) -> None:
        order.append(n)
        await asyncio.sleep(0)

    async with bulkhead.place():
        calls = [asyncio.ensure_future(bulkhead.call(work, n)) for n in range(5)]
        await turns()
    await bulkhead.call(work, 99)
    await asyncio.gather(*calls)
    assert order == [0, 1, 2, 3, 4, 99]


async def test_a_place_is_given_back_after_failure_and_cancellation() -> None:
    bulkhead = Bulkhead(1, queue=1)
    with pytest.raises(KeyError):
        async with bulkhead.place():
            raise KeyError
    holder = asyncio.ensure_future(bulkhead.call(asyncio.Event().wait))
    waiter = asyncio.ensure_future(bulkhead.call(asyncio.Event().wait))
    await turns()
    waiter.cancel()
    holder.cancel()
    await asyncio.gather(holder, waiter, return_exceptions=True)
    assert (bulkhead.snapshot.in_flight, bulkhead.snapshot.waiting) == (0, 0)


async def test_a_place_handed_to_a_caller_cancelled_in_the_same_turn_is_passed_on() -> None:
    bulkhead, ran = Bulkhead(1, queue=2), []

    async def work(n: int) -> None:
        ran.append(n)

    async with bulkhead.place():
        first = asyncio.ensure_future(bulkhead.call(work, 1))
        second = asyncio.ensure_future(bulkhead.call(work, 2))
        await turns()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert ran == [2]
    assert (bulkhead.snapshot.in_flight, bulkhead.snapshot.waiting) == (0, 0)


async def test_a_wait_that_is_too_long_is_refused_and_leaves_the_queue() -> None:
    bulkhead = Bulkhead(1, queue=5, max_wait=0.01)
    async with bulkhead.place():
        with pytest.raises(BulkheadFull, match=r"within 0.010 s") as caught:
            await bulkhead.call(turns)
        assert caught.value.waited == 0.01
        assert bulkhead.snapshot.waiting == 0
    await bulkhead.call(turns)
    assert bulkhead.snapshot.in_flight == 0


async def test_a_wait_that_ends_as_its_caller_is_cancelled_loses_no_place() -> None:
    bulkhead = Bulkhead(1, queue=5, max_wait=1000.0)
    async with bulkhead.place():
        waiter = asyncio.ensure_future(bulkhead.call(turns))
        await turns()
        bulkhead._expire(bulkhead._waiters[0])
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert bulkhead.snapshot.in_flight == 1
    assert bulkhead.snapshot.in_flight == 0


async def test_a_place_handed_over_before_the_time_is_up_is_kept() -> None:
    bulkhead = Bulkhead(1, queue=5, max_wait=1000.0)
    async with bulkhead.place():
        waiter = asyncio.ensure_future(bulkhead.call(turns))
        await turns()
        future = bulkhead._waiters[0]
    bulkhead._expire(future)
    await waiter
    assert bulkhead.snapshot.in_flight == 0


STEPS = st.lists(
    st.tuples(st.sampled_from(["arrive", "finish", "cancel", "turn"]), st.integers(0, 9)), max_size=60
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 3), st.integers(0, 3))
def test_places_never_leak_whatever_is_cancelled_when(
    steps: list[tuple[str, int]], limit: int, queue: int
) -> None:
    async def play() -> None:
        bulkhead, gates, calls = Bulkhead(limit, queue), [], []
        for step, n in steps:
            if step == "arrive":
                gates.append(asyncio.Event())
                calls.append(asyncio.ensure_future(bulkhead.call(gates[-1].wait)))
            elif step == "turn":
                await asyncio.sleep(0)
            elif calls and step == "finish":
                gates[n % len(gates)].set()
            elif calls:
                calls[n % len(calls)].cancel()
            assert 0 <= bulkhead.snapshot.in_flight <= limit
            assert bulkhead.snapshot.waiting <= queue
        for gate in gates:
            gate.set()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (bulkhead.snapshot.in_flight, bulkhead.snapshot.waiting) == (0, 0)

    asyncio.run(play())


async def test_what_goes_in_and_out_is_measured_by_name(measured) -> None:
    bulkhead = Bulkhead(1, queue=1, name="measured")
    async with bulkhead.place():
        waiter = asyncio.ensure_future(bulkhead.call(turns))
        await turns()
        with pytest.raises(BulkheadFull):
            await bulkhead.call(turns)
        waiter.cancel()
        await turns()
        counted = {
            event: measured("sba.bulkhead.events", bulkhead="measured", event=event)
            for event in ("admitted", "finished", "queued", "refused", "gone")
        }
    assert counted == {"admitted": 1, "finished": 0, "queued": 1, "refused": 1, "gone": 1}


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 1, "queue": -1}, {"limit": 1, "max_wait": 0}])
def test_bounds_that_cannot_hold_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="limit"):
        Bulkhead(**wrong)
