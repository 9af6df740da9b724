"""Counting in this process while Redis is away, and remembering denials."""

from __future__ import annotations

from sba_ratelimit import Limit, LimitState
from sba_ratelimit.decision import together
from sba_ratelimit.denied import DeniedKeys
from sba_ratelimit.gcra import LocalCounters

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


def denial(limit: Limit, wait: float) -> LimitState:
    return LimitState(limit, 0, wait + 1, wait)


def test_a_denial_holds_until_its_key_could_be_admitted() -> None:
    clock = Clock()
    denied = DeniedKeys(size=10, longest=60, clock=clock)
    denied.remember(together([denial(LIMIT, 0.5)]), 1)
    clock.now += 0.4
    found = denied.find([LIMIT], 1)
    assert found is not None
    assert abs(found.retry_after - 0.1) < 1e-9
    clock.now += 0.1
    assert denied.find([LIMIT], 1) is None


def test_a_denial_is_asked_again_after_the_longest_time() -> None:
    clock = Clock()
    denied = DeniedKeys(size=10, longest=1.0, clock=clock)
    denied.remember(together([denial(LIMIT, 30)]), 1)
    clock.now += 1.0
    assert denied.find([LIMIT], 1) is None


def test_a_smaller_cost_or_another_plan_is_not_denied_by_memory() -> None:
    denied = DeniedKeys(size=10, longest=60, clock=Clock())
    denied.remember(together([denial(LIMIT, 30)]), 5)
    assert denied.find([LIMIT], 4) is None
    assert denied.find([LIMIT], 5) is not None
    assert denied.find([LIMIT], 6) is not None
    assert denied.find([Limit(20, per=10, key=("ip", "a"))], 5) is None


def test_only_the_limits_that_denied_are_remembered_and_they_can_be_forgotten() -> None:
    other = Limit(1, per=1, key=("ip", "b"))
    denied = DeniedKeys(size=10, longest=60, clock=Clock())
    denied.remember(together([denial(LIMIT, 30), LimitState(other, 1, 0, 0)]), 1)
    assert denied.find([other], 1) is None
    denied.forget([LIMIT, other])
    assert denied.find([LIMIT], 1) is None


def test_memory_is_bounded() -> None:
    denied = DeniedKeys(size=2, longest=60, clock=Clock())
    limits = [Limit(1, per=10, key=("ip", name)) for name in "abc"]
    for limit in limits:
        denied.remember(together([denial(limit, 30)]), 1)
    assert [denied.find([limit], 1) is not None for limit in limits] == [False, True, True]
