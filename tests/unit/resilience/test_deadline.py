"""Time that is left, inherited and enforced."""

from __future__ import annotations

import asyncio

import pytest

from sba_resilience import Deadline, DeadlineExceeded
from sba_resilience.testing import FakeClock


def test_a_scope_is_inherited_and_left_again() -> None:
    assert Deadline.current() is None
    with Deadline.after(5, clock=lambda: 10.0).scope() as deadline:
        assert Deadline.current() is deadline
        assert deadline.remaining() == 5
    assert Deadline.current() is None


def test_an_inner_deadline_never_reaches_beyond_the_outer() -> None:
    with Deadline.after(1).scope() as outer:
        assert Deadline.after(10) is outer
        assert Deadline.after(0.5).remaining() <= 0.5


def test_check_raises_once_the_time_is_used_up() -> None:
    now = 0.0
    deadline = Deadline.after(2, clock=lambda: now)
    deadline.check()
    now = 2.0
    with pytest.raises(DeadlineExceeded) as caught:
        deadline.check()
    assert caught.value.budget == 2
    assert isinstance(caught.value, TimeoutError)


async def test_bound_cancels_what_is_awaited() -> None:
    waiting = asyncio.get_running_loop().create_future()
    with pytest.raises(DeadlineExceeded):
        async with Deadline.after(0.01):
            await waiting
    assert waiting.cancelled()


async def test_a_deadline_that_has_passed_does_not_begin() -> None:
    with pytest.raises(DeadlineExceeded):
        async with Deadline.after(0):
            raise AssertionError


async def test_a_timeout_of_other_origin_is_left_alone() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with Deadline.after(30):
            raise TimeoutError("of the socket")
    assert not isinstance(caught.value, DeadlineExceeded)


async def test_many_tasks_may_enter_one_deadline() -> None:
    deadline = Deadline.after(30)

    async def enter(n: int) -> int:
        async with deadline:
            await asyncio.sleep(0.001 * (n % 3))
            async with deadline:
                return n

    assert await asyncio.gather(*(enter(n) for n in range(20))) == list(range(20))
    assert deadline._entered == {}


async def test_detached_work_has_no_deadline() -> None:
    with Deadline.after(1).scope():
        with Deadline.detached():
            assert Deadline.current() is None
        assert Deadline.current() is not None


def test_what_is_left_travels_in_whole_milliseconds() -> None:
    clock = FakeClock()
    deadline = Deadline.after(2.5, clock)
    assert (Deadline.HEADER, deadline.header()) == ("X-Deadline-Ms", "2500")
    clock.advance(3)
    assert deadline.header() == "0"


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("1500", 1.5),
        (" 1500 ", 1.5),
        ("0", 0.0),
        ("60000", 10.0),
        ("999999999", 10.0),
        ("9" * 5000, 10.0),
        ("-5", 10.0),
        ("1.5", 10.0),
        ("\u0663", 10.0),
        ("", 10.0),
        (None, 10.0),
    ],
)
def test_a_header_never_gives_more_time_than_this_side_allows(sent: str | None, seconds: float) -> None:
    assert Deadline.from_header(sent, at_most=10.0, clock=FakeClock()).remaining() == pytest.approx(seconds)


def test_a_header_does_not_reach_beyond_the_deadline_it_is_read_in() -> None:
    clock = FakeClock()
    with Deadline.after(1.0, clock).scope() as outer:
        assert Deadline.from_header("5000", at_most=10.0, clock=clock) is outer
