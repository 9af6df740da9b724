"""Counting in this process while Redis is away."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sba_ratelimit import Limit, LimitState
from sba_ratelimit.limit import Algorithm
from sba_ratelimit.local import SLICES, LocalCounters, Window
from tests.integration.ratelimit.promises import Log, broken

LIMIT = Limit(10, per=10, key=("ip", "a"))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def admitted(counters: LocalCounters, limit: Limit, tries: int, cost: int = 1) -> int:
    count = 0
    for _ in range(tries):
        if counters.look(limit, cost).retry_after == 0:
            counters.take([limit], cost)
            count += 1
    return count


def test_a_node_admits_its_share_and_refills_at_its_share() -> None:
    clock = Clock()
    counters = LocalCounters(nodes=5, size=10, clock=clock)
    assert admitted(counters, LIMIT, 100) == 2
    assert counters.look(LIMIT, 1).retry_after == 5.0
    clock.now += 5.0
    assert admitted(counters, LIMIT, 100) == 1


def test_looking_takes_nothing() -> None:
    counters = LocalCounters(nodes=1, size=10, clock=Clock())
    assert [counters.look(LIMIT, 1).remaining for _ in range(5)] == [10] * 5


def test_more_nodes_than_units_still_leave_one_each() -> None:
    counters = LocalCounters(nodes=100, size=10, clock=Clock())
    assert admitted(counters, LIMIT, 5) == 1


def test_a_cost_above_the_share_takes_the_whole_share() -> None:
    counters = LocalCounters(nodes=5, size=10, clock=Clock())
    assert admitted(counters, LIMIT, 5, cost=9) == 1


def test_the_key_unused_for_longest_is_forgotten() -> None:
    counters = LocalCounters(nodes=1, size=2, clock=Clock())
    one, two, three = (Limit(1, per=10, key=("ip", name)) for name in "abc")
    for limit in (one, two, three):
        counters.take([limit], 1)
    assert counters.look(one, 1).retry_after == 0
    assert counters.look(two, 1).retry_after > 0
    assert counters.look(three, 1).retry_after > 0


def test_a_sliding_share_is_never_exceeded_in_any_window() -> None:
    clock = Clock()
    counters = LocalCounters(nodes=2, size=10, clock=clock)
    sliding = Limit(10, per=10, key=("ip", "a"), algorithm="sliding_window")
    assert admitted(counters, sliding, 3) == 3
    clock.now += 4
    assert admitted(counters, sliding, 9) == 2
    assert counters.look(sliding, 1).retry_after == 6.0
    assert counters.look(sliding, 4).retry_after == 10.0
    clock.now += 6
    assert admitted(counters, sliding, 9) == 3
    assert counters.look(sliding, 0) == LimitState(sliding, 0, 10.0, 0.0)


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window"])
def test_a_refund_and_a_reset_reach_what_was_counted_here(algorithm: Algorithm) -> None:
    counters = LocalCounters(nodes=1, size=10, clock=Clock())
    limit = Limit(10, per=10, key=("ip", "a"), algorithm=algorithm)
    counters.refund([limit], 5, None)
    counters.take([limit], 4)
    counters.take([limit], 3)
    counters.refund([limit], 5, None)
    assert counters.look(limit, 1).remaining == 8
    counters.refund([limit], 9, None)
    assert counters.look(limit, 1).remaining == 10
    counters.take([limit], 9)
    counters.reset([limit])
    assert counters.look(limit, 1).remaining == 10


def test_another_plan_starts_anew() -> None:
    counters = LocalCounters(nodes=1, size=10, clock=Clock())
    counters.take([LIMIT], 10)
    assert counters.look(Limit(20, per=10, key=("ip", "a")), 1).remaining == 20


def test_a_window_is_kept_in_bounded_memory_whatever_it_admits() -> None:
    window = Window(60_000_000, 100_000)
    for step in range(30_000):
        now = step * 10_000
        assert window.look(now, 1)[2] == 0
        window.take(now, 1)
        assert len(window._slices) <= SLICES + 1


STEPS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from([0, 0, 1, 20_000, 140_001, 500_000, 1_000_000, 3_000_000]),
        st.integers(-9, 9),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(
    st.integers(1, 8),
    st.sampled_from([0.5, 1, 7]),
    st.sampled_from(["gcra", "sliding_window"]),
    STEPS,
)
def test_no_refund_however_late_lets_more_pass_than_was_promised(
    count: int, per: float, algorithm: Algorithm, steps: list[tuple[int, int, int]]
) -> None:
    limit = Limit(count, per=per, key=("ip", "a"), algorithm=algorithm)
    now, log = 10**15, Log()
    counters = LocalCounters(nodes=1, size=10, clock=lambda: now / 1_000_000)
    for cost, passed, refunded in steps:
        now += passed
        cost = min(cost, count)  # noqa: PLW2901 - fits
        if counters.look(limit, cost).retry_after == 0:
            taken_at = counters.now()
            counters.take([limit], cost)
            log.append((taken_at, cost))
        if log and refunded < len(log):
            at, units = log.pop(refunded % len(log))
            counters.refund([limit], units, at)
        assert not broken(limit, log)
