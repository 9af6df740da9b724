"""When a candidate counts as worse, and how rarely chance alone makes it so."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_resilience.canary import Rules, Side, Totals, Verdict, compare
from sba_resilience.canary.figures import BUCKETS, bucket_of, count, upper_bound
from sba_resilience.canary.judge import fisher


def totals(durations: list[float], errors: int = 0) -> Totals:
    counts: Counter[str] = Counter()
    for seconds in durations:
        count(counts, Side.STABLE, ok=True, seconds=seconds)
    for _ in range(errors):
        count(counts, Side.STABLE, ok=False, seconds=0.0)
    return Totals.of(counts, Side.STABLE)


@given(st.floats(1e-6, 100.0))
def test_a_bucket_holds_its_duration_and_is_a_fifth_wide(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert seconds <= upper_bound(bucket) * (1 + 1e-9)
    assert bucket == 0 or seconds > upper_bound(bucket - 1) * (1 - 1e-9)
    assert upper_bound(1) / upper_bound(0) < 1.2


def test_a_duration_beyond_all_buckets_is_in_the_last() -> None:
    assert bucket_of(1e9) == BUCKETS - 1
    assert Totals(1, 0, {3: 1}).bucket_at(2) == BUCKETS - 1


@given(st.lists(st.floats(0.001, 50.0), min_size=1, max_size=300))
def test_the_p95_is_right_to_a_bucket(durations: list[float]) -> None:
    exact = sorted(durations)[math.ceil(0.95 * len(durations)) - 1]
    assert bucket_of(exact) == totals(durations).bucket_at(0.95 * len(durations))
    assert exact <= totals(durations).p95 * (1 + 1e-9)


def test_nothing_counted_has_no_error_rate_and_no_p95() -> None:
    assert (Totals().error_rate, Totals().p95) == (0.0, 0.0)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_fisher_equals_the_sum_over_all_tables(a: int, good: int, b: int, other_good: int) -> None:
    n, m, failed = a + good, b + other_good, a + b
    exact = sum(
        math.comb(failed, x) * math.comb(n + m - failed, n - x)
        for x in range(a, min(failed, n) + 1)
        if n - x <= n + m - failed
    ) / math.comb(n + m, n)
    got = fisher(a, n, b, m)
    assert got == pytest.approx(exact, rel=1e-6) or (got == 1.0 and a * (n + m) <= n * failed)


def test_fisher_is_quick_and_finite_for_a_million_calls() -> None:
    assert 0 <= fisher(300_000, 1_000_000, 250_000, 1_000_000) < 1e-12
    assert 0.4 < fisher(100_010, 1_000_000, 100_000, 1_000_000) < 0.6


@pytest.mark.parametrize(
    ("stable", "candidate", "verdict", "reason"),
    [
        (totals([0.1] * 500), totals([0.1] * 100), Verdict.FINE, ""),
        (totals([0.1] * 500), totals([0.1] * 60, errors=40), Verdict.WORSE, "errors"),
        (totals([0.1] * 300, errors=200), totals([0.1] * 60, errors=40), Verdict.FINE, ""),
        (totals([0.1] * 500), totals([0.5] * 100), Verdict.WORSE, "slower"),
        (totals([0.1] * 500), totals([0.145] * 100), Verdict.FINE, ""),
        (totals([0.1] * 500), totals([0.16] * 100), Verdict.WORSE, "slower"),
        (totals([0.1] * 500), totals([0.1] * 94 + [5.0] * 6), Verdict.FINE, ""),
        (totals([0.1] * 500), totals([0.1] * 850 + [5.0] * 150), Verdict.WORSE, "slower"),
        (totals([0.1] * 20), totals([9.0] * 500), Verdict.UNDECIDED, ""),
        (totals([0.1] * 500), totals([], errors=49), Verdict.UNDECIDED, ""),
        (totals([0.1] * 500), totals([], errors=50), Verdict.WORSE, "errors"),
        (totals([0.1] * 60), totals([9.0] * 500), Verdict.FINE, ""),
    ],
)
def test_worse_is_what_chance_does_not_explain(
    stable: Totals, candidate: Totals, verdict: Verdict, reason: str
) -> None:
    finding = compare(stable, candidate, Rules())
    assert (finding.verdict, finding.reason) == (verdict, reason)
    assert finding.figures["candidate_calls"] == candidate.calls


def test_a_difference_within_the_margin_is_tolerated_however_certain() -> None:
    stable, candidate = Totals(10**6, 10_000), Totals(10**6, 15_000)
    assert compare(stable, candidate, Rules(error_margin=0.01)).verdict is Verdict.FINE
    assert compare(stable, candidate, Rules(error_margin=0.001)).verdict is Verdict.WORSE


def test_equal_sides_watched_all_day_are_rarely_called_worse() -> None:
    chance, alarms = random.Random(7), 0
    for _ in range(60):
        stable: Counter[str] = Counter()
        candidate: Counter[str] = Counter()
        for _ in range(40):
            for counts, n in ((stable, 90), (candidate, 10)):
                for _ in range(n):
                    ok, seconds = chance.random() > 0.05, chance.lognormvariate(-2, 0.8)
                    count(counts, Side.STABLE, ok=ok, seconds=seconds)
            sides = (Totals.of(stable, Side.STABLE), Totals.of(candidate, Side.STABLE))
            if compare(*sides, Rules()).verdict is Verdict.WORSE:
                alarms += 1
                break
    assert alarms <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum_calls": 0},
        {"error_margin": -1},
        {"slower": 0.9},
        {"significance": 0},
        {"significance": 0.5},
        {"window": 0},
    ],
)
def test_rules_that_cannot_hold_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need"):
        Rules(**wrong)
