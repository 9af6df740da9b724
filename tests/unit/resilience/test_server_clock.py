"""The server's time is never further off than the answers allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_resilience.redis.clock import DRIFT, REFRESH_AFTER, Sample, ServerClock

delays = st.floats(0.0, 0.5)
answers = st.lists(st.tuples(st.floats(0.0, 100.0), delays, delays), min_size=1, max_size=30)


class Now:
    """Our clock, and a server's that is ahead of it and runs a little too fast or too slow."""

    def __init__(self, ahead: float, drift: float) -> None:
        self.mine = 1000.0
        self.ahead = ahead
        self.drift = drift

    def __call__(self) -> float:
        return self.mine

    @property
    def server(self) -> float:
        return self.mine + self.ahead + (self.mine - 1000.0) * self.drift

    def ask(self, there: float, back: float) -> Sample:
        sent = self.mine
        self.mine += there
        at = self.server
        self.mine += back
        return Sample(at, sent, self.mine)


@given(st.floats(-1e6, 1e6), st.floats(-DRIFT / 2, DRIFT / 2), answers)
def test_it_is_wrong_by_no_more_than_the_best_answer_and_the_drift_since(
    ahead: float, drift: float, asked: list[tuple[float, float, float]]
) -> None:
    now = Now(ahead, drift)
    clock = ServerClock(now)
    allowed = float("inf")
    for pause, there, back in asked:
        now.mine += pause
        clock.learn(now.ask(there, back))
        took = there + back
        allowed = min(allowed + DRIFT * (pause + took), took / 2 + DRIFT * took)
        told = clock.now()
        assert told is not None
        assert abs(told - now.server) <= allowed + 1e-6


def test_an_answer_that_contradicts_a_more_exact_one_replaces_it() -> None:
    now = Now(0.0, 0.0)
    clock = ServerClock(now)
    clock.learn(now.ask(0.0, 0.0))
    now.ahead = 10.0
    clock.learn(now.ask(0.1, 0.1))
    assert clock.now() == pytest.approx(now.server, abs=0.1)


def test_a_vague_answer_does_not_replace_an_exact_one() -> None:
    now = Now(5.0, 0.0)
    clock = ServerClock(now)
    clock.learn(now.ask(0.0, 0.0))
    clock.learn(now.ask(0.0, 0.4))
    assert clock.now() == pytest.approx(now.server)


@pytest.mark.parametrize("reply", [None, b"OK", [b"1"], [1, 2], ValueError("no")])
def test_what_is_no_time_is_not_taken_for_one(reply: object) -> None:
    clock = ServerClock(Now(0.0, 0.0))
    clock.learn(Sample.of(reply, 1.0, 2.0))
    assert clock.now() is None


def test_it_is_to_be_asked_for_once_a_minute_unless_it_is_learnt_anyway() -> None:
    now = Now(0.0, 0.0)
    clock = ServerClock(now)
    assert [clock.due(), clock.due()] == [True, False]
    now.mine += REFRESH_AFTER
    clock.learn(now.ask(0.0, 0.0))
    assert not clock.due()
    now.mine += REFRESH_AFTER
    assert clock.due()
