"""The breaker against a reference model that keeps everything and recomputes it each time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from sba_resilience import Breaker, BreakerOpen, State
from sba_resilience.testing import FakeClock

WINDOW, WITHIN, MINIMUM, FAILURES, SLOW, SLOW_RATE = 6, 40.0, 3, 0.5, 2.0, 0.75
OPEN_FOR, GROWTH, CAP, PERMITS, HALF_OPEN_FOR = 5.0, 2.0, 15.0, 3, 20.0


@dataclass
class Model:
    """What the rules say, in the plainest form."""

    state: str = "closed"
    era: int = 0
    outcomes: list[tuple[float, bool, bool]] = field(default_factory=list)
    opens: int = 0
    until: float = 0.0
    since: float = 0.0
    out: int = 0
    probes: list[tuple[bool, bool]] = field(default_factory=list)

    def enter(self, state: str, now: float) -> None:
        self.state, self.era, self.since, self.out, self.probes = state, self.era + 1, now, 0, []

    def open(self, now: float) -> None:
        self.until = now + min(OPEN_FOR * GROWTH**self.opens, CAP)
        self.opens += 1
        self.enter("open", now)

    def allow(self, now: float) -> bool:
        if self.state == "open":
            if now < self.until:
                return False
            self.enter("half_open", now)
        if self.state == "half_open":
            if self.out + len(self.probes) >= PERMITS:
                if now - self.since >= HALF_OPEN_FOR:
                    self.open(now)
                return False
            self.out += 1
        return True

    def record(self, era: int, now: float, *, ok: bool, seconds: float) -> None:
        if era != self.era:
            return
        outcome = (not ok, seconds > SLOW)
        if self.state == "closed":
            self.outcomes = [o for o in [*self.outcomes, (now, *outcome)][-WINDOW:] if o[0] >= now - WITHIN]
            calls = len(self.outcomes)
            failing = outcome[0] and sum(o[1] for o in self.outcomes) / calls >= FAILURES
            slowing = outcome[1] and sum(o[2] for o in self.outcomes) / calls >= SLOW_RATE
            if calls >= MINIMUM and (failing or slowing):
                self.open(now)
        elif self.state == "half_open":
            self.out -= 1
            self.probes.append(outcome)
            self.settle(now)

    def settle(self, now: float) -> None:
        rest = PERMITS - len(self.probes)
        possible = {
            any(
                sum(p[i] for p in self.probes) + more >= share * PERMITS
                for i, share in ((0, FAILURES), (1, SLOW_RATE))
            )
            for more in range(rest + 1)
        }
        if possible == {True}:
            self.open(now)
        elif possible == {False}:
            self.outcomes, self.opens = [], 0
            self.enter("closed", now)


class Against(RuleBasedStateMachine):
    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.model = Model()
        self.breaker = Breaker(
            "model",
            window=WINDOW,
            within=WITHIN,
            minimum_calls=MINIMUM,
            failures=FAILURES,
            slow=SLOW,
            slow_rate=SLOW_RATE,
            open_for=OPEN_FOR,
            open_growth=GROWTH,
            open_cap=CAP,
            half_open_permits=PERMITS,
            half_open_for=HALF_OPEN_FOR,
            clock=self.clock,
        )

    @rule(target=permits)
    def ask(self) -> tuple[int, int] | None:
        if self.model.allow(self.clock.now):
            return self.breaker.allow(), self.model.era
        with pytest.raises(BreakerOpen) as refusal:
            self.breaker.allow()
        assert refusal.value.retry_after > 0
        return None

    @rule(permit=consumes(permits), ok=st.booleans(), seconds=st.sampled_from([0.1, 3.0]))
    def end(self, *, permit: tuple[int, int] | None, ok: bool, seconds: float) -> None:
        if permit is not None:
            self.breaker.record(permit[0], ok=ok, seconds=seconds)
            self.model.record(permit[1], self.clock.now, ok=ok, seconds=seconds)

    @rule(permit=consumes(permits))
    def give_back(self, permit: tuple[int, int] | None) -> None:
        if permit is not None:
            self.breaker.release(permit[0])
            if permit[1] == self.model.era:
                self.model.out = max(0, self.model.out - 1)

    @rule(seconds=st.sampled_from([0.5, 5.0, 15.0, 41.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.model.state == "closed")
    @rule(ok=st.booleans())
    def record_without_a_permit(self, *, ok: bool) -> None:
        self.breaker.record(ok=ok)
        self.model.record(self.model.era, self.clock.now, ok=ok, seconds=0.0)

    @invariant()
    def they_agree(self) -> None:
        assert self.breaker.state is State(self.model.state)
        assert self.breaker._probes == self.model.out
        if self.model.state == "open":
            assert self.breaker.retry_after == max(0.0, self.model.until - self.clock.now)


Against.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAgainstAModel = Against.TestCase
