"""Remembering denials, with and without news from other nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sba_ratelimit import Decision, Limit, LimitState
from sba_ratelimit.decision import together
from sba_ratelimit.denied import DeniedKeys
from sba_ratelimit.shared import MARK

LIMIT = Limit(10, per=10, key=("ip", "a"))
OTHER = Limit(1, per=1, key=("ip", "b"))


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Watch:
    """News that a test makes up."""

    clock: Clock
    epoch: int = 1
    live_until: float = float("inf")
    changed: Callable[[str], None] = field(default=print)

    def __call__(self, changed: Callable[[str], None]) -> Watch:
        self.changed = changed
        return self


def denial(limit: Limit, wait: float) -> LimitState:
    return LimitState(limit, 0, wait + 1, wait)


def memory(watch: Watch, *, size: int = 10, longest: float = 1.0) -> DeniedKeys:
    return DeniedKeys(size=size, longest=longest, clock=watch.clock, watch=watch)


def keep(denied: DeniedKeys, *states: LimitState, cost: int = 1) -> None:
    denied.remember(together(states), cost, denied.asked())


def watching(watch: Watch, **options: float) -> DeniedKeys:
    """A memory that has begun to watch: the first denial of all is what starts it."""
    denied = memory(watch, **options)
    keep(denied, denial(OTHER, 0.001))
    denied.forget([OTHER])
    return denied


def test_a_denial_holds_until_its_key_could_be_admitted_while_news_come() -> None:
    watch = Watch(Clock())
    denied = watching(watch)
    keep(denied, denial(LIMIT, 30))
    watch.clock.now += 29
    found = denied.find([OTHER, LIMIT], 1)
    assert found == Decision(allowed=False, limits=(LimitState(LIMIT, 0, 2.0, 1.0),), retry_after=1.0)
    watch.clock.now += 1
    assert denied.find([LIMIT], 1) is None


def test_a_denial_is_asked_again_after_a_while_when_no_news_come() -> None:
    watch = Watch(Clock(), live_until=0.0)
    denied = watching(watch)
    keep(denied, denial(LIMIT, 30))
    watch.clock.now += 0.99
    assert denied.find([LIMIT], 1) is not None
    watch.clock.now += 0.01
    assert denied.find([LIMIT], 1) is None


def test_a_denial_is_asked_again_after_a_while_when_news_were_missed() -> None:
    watch = Watch(Clock())
    denied = watching(watch)
    keep(denied, denial(LIMIT, 30))
    watch.epoch += 1
    watch.clock.now += 0.5
    assert denied.find([LIMIT], 1) is not None
    watch.clock.now += 0.5
    assert denied.find([LIMIT], 1) is None


def test_news_forget_the_denials_of_their_key_alone() -> None:
    watch = Watch(Clock())
    denied = watching(watch)
    dear = Limit(99, per=10, key=("ip", "a"))
    keep(denied, denial(LIMIT, 30), denial(OTHER, 30))
    keep(denied, denial(dear, 30), cost=7)
    watch.changed(MARK + LIMIT.stored)
    assert denied.find([LIMIT], 1) is None
    assert denied.find([dear], 7) is None
    assert denied.find([OTHER], 1) is not None
    watch.changed(MARK + "{unheard}:of")


def test_a_denial_older_than_the_news_is_not_trusted_for_long() -> None:
    watch = Watch(Clock())
    denied = watching(watch)
    asked = denied.asked()
    watch.changed(MARK + LIMIT.stored)
    denied.remember(together([denial(LIMIT, 30)]), 1, asked)
    watch.clock.now += 1
    assert denied.find([LIMIT], 1) is None


def test_a_denial_counts_from_when_redis_was_asked() -> None:
    watch = Watch(Clock())
    denied = watching(watch)
    asked = denied.asked()
    watch.clock.now += 0.4
    denied.remember(together([denial(LIMIT, 0.5)]), 1, asked)
    watch.clock.now += 0.1
    assert denied.find([LIMIT], 1) is None


def test_a_caller_told_from_memory_waits_as_long_as_one_told_by_redis() -> None:
    watch = Watch(Clock())
    denied = watching(watch)
    asked = denied.asked()
    watch.clock.now += 0.4
    denied.remember(together([denial(LIMIT, 3)]), 1, asked)
    watch.clock.now += 1
    found = denied.find([LIMIT], 1)
    assert found is not None
    assert found.retry_after == 2.0
    assert found.limits == (LimitState(LIMIT, 0, 3.0, 2.0),)


def test_another_cost_or_plan_is_not_denied_by_memory() -> None:
    denied = watching(Watch(Clock()))
    keep(denied, denial(LIMIT, 30), cost=5)
    assert denied.find([LIMIT], 5) is not None
    assert denied.find([LIMIT], 4) is None
    assert denied.find([LIMIT], 6) is None
    for changed in (
        Limit(20, per=10, key=("ip", "a")),
        Limit(10, per=9, key=("ip", "a")),
        Limit(10, per=10, key=("ip", "a"), burst=11),
        Limit(10, per=10, key=("ip", "a"), algorithm="sliding_window"),
        Limit(10, per=10, key=("ip", "a"), shadow=True),
    ):
        assert denied.find([changed], 5) is None


def test_denials_of_several_costs_of_a_key_end_apart() -> None:
    watch = Watch(Clock())
    denied = watching(watch)
    keep(denied, denial(LIMIT, 3))
    keep(denied, denial(LIMIT, 8), cost=5)
    watch.clock.now += 4
    assert denied.find([LIMIT], 1) is None
    assert denied.find([LIMIT], 5) is not None
    denied.forget([LIMIT])
    assert denied.find([LIMIT], 5) is None


def test_the_longest_wait_of_all_that_deny_is_told() -> None:
    denied = watching(Watch(Clock()))
    keep(denied, denial(LIMIT, 3), denial(OTHER, 8))
    found = denied.find([LIMIT, OTHER], 1)
    assert found is not None
    assert found.retry_after == 8
    assert [state.limit for state in found.limits] == [LIMIT, OTHER]


def test_only_the_limits_that_denied_are_remembered_and_they_can_be_forgotten() -> None:
    denied = watching(Watch(Clock()))
    keep(denied, denial(LIMIT, 30), LimitState(OTHER, 1, 0, 0))
    assert denied.find([OTHER], 1) is None
    denied.forget([LIMIT, OTHER])
    assert denied.find([LIMIT], 1) is None


def test_memory_is_bounded_and_the_oldest_denial_goes_first() -> None:
    denied = watching(Watch(Clock()), size=2)
    limits = [Limit(1, per=10, key=("ip", name)) for name in "abc"]
    for limit in limits:
        keep(denied, denial(limit, 30))
    assert [denied.find([limit], 1) is not None for limit in limits] == [False, True, True]
    assert len(denied._at) == 2


def test_a_memory_of_no_time_keeps_nothing_and_watches_nothing() -> None:
    watch = Watch(Clock())
    denied = memory(watch, longest=0)
    keep(denied, denial(LIMIT, 30))
    assert denied.find([LIMIT], 1) is None
    assert watch.changed is print
