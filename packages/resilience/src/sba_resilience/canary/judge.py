"""Whether the candidate is worse than stable, beyond what chance explains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

from sba_resilience.canary.figures import Totals, upper_bound

NEGLIGIBLE = 1e-12


class Verdict(StrEnum):
    """What the window says."""

    UNDECIDED = "undecided"
    FINE = "fine"
    WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Rules:
    """When a candidate counts as worse.

    Errors: its error rate is more than `error_margin` above stable's, and a difference as large would come
    by chance from equal sides with a probability below `significance` (Fisher's exact test, one-sided,
    which holds for any number of calls). Durations: the low end of the confidence interval of its p95 is
    above `slower` times the high end of stable's (order statistics, no distribution assumed). The window
    is looked at again and again, so `significance` is to be small.

    Attributes:
        minimum_calls: Calls of each side before anything is said.
        error_margin: Difference of error rates that is tolerated.
        slower: Factor on stable's p95 that is tolerated.
        significance: Probability of a false alarm at one look.
        window: Seconds the comparison reaches back.
    """

    minimum_calls: int = 50
    error_margin: float = 0.01
    slower: float = 1.25
    significance: float = 0.0005
    window: float = 300.0

    def __post_init__(self) -> None:
        if self.minimum_calls < 1 or self.error_margin < 0 or self.slower < 1:
            raise ValueError("need minimum_calls >= 1, error_margin >= 0, slower >= 1")
        if self.window <= 0:
            raise ValueError("need window > 0")
        if not 0 < self.significance < 0.5:  # noqa: PLR2004 - beyond a half it would be no test
            raise ValueError("need 0 < significance < 0.5")


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict and what it stands on.

    Attributes:
        verdict: Fine, worse, or too little to say.
        reason: `errors`, `slower` or empty.
        figures: Calls, error rate and p95 in seconds of each side, and the p-value of the errors.
    """

    verdict: Verdict
    reason: str
    figures: Mapping[str, float]


def compare(stable: Totals, candidate: Totals, rules: Rules) -> Finding:
    """Compare the two sides over the same window."""
    p_value = fisher(candidate.errors, candidate.calls, stable.errors, stable.calls)
    figures = {
        "stable_calls": stable.calls,
        "stable_error_rate": stable.error_rate,
        "stable_p95": stable.p95,
        "candidate_calls": candidate.calls,
        "candidate_error_rate": candidate.error_rate,
        "candidate_p95": candidate.p95,
        "p_value": p_value,
    }
    if min(stable.calls, candidate.calls) < rules.minimum_calls:
        return Finding(Verdict.UNDECIDED, "", figures)
    beyond = candidate.error_rate - stable.error_rate > rules.error_margin
    if beyond and p_value < rules.significance:
        return Finding(Verdict.WORSE, "errors", figures)
    if is_slower(stable, candidate, rules):
        return Finding(Verdict.WORSE, "slower", figures)
    return Finding(Verdict.FINE, "", figures)


def fisher(errors: int, calls: int, other_errors: int, other_calls: int) -> float:
    """Probability of at least `errors` on this side if both sides fail equally often.

    The upper tail of the hypergeometric distribution, summed from `errors` on until a term no longer
    matters; 1 when this side fails no more often than the other.
    """
    failed, everything = errors + other_errors, calls + other_calls
    if errors * everything <= calls * failed:
        return 1.0
    log_term = _log_choose(failed, errors) + _log_choose(everything - failed, calls - errors)
    term = total = math.exp(log_term - _log_choose(everything, calls))
    for x in range(errors, min(failed, calls)):
        term *= (failed - x) * (calls - x) / ((x + 1) * (everything - failed - calls + x + 1))
        total += term
        if term <= total * NEGLIGIBLE:
            break
    return min(1.0, total)


def is_slower(stable: Totals, candidate: Totals, rules: Rules) -> bool:
    """Whether even the low end of the candidate's p95 is beyond the high end of stable's, with the factor."""
    z = NormalDist().inv_cdf(1 - rules.significance)
    low, high = _rank(candidate.timed, -z), _rank(stable.timed, z)
    if low < 1:
        return False
    at_least = upper_bound(candidate.bucket_at(low) - 1)
    return at_least > upper_bound(stable.bucket_at(high)) * rules.slower


def _rank(n: int, z: float) -> float:
    bound = 0.95 * n + z * math.sqrt(n * 0.95 * 0.05)
    return math.ceil(bound) if z > 0 else math.floor(bound)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
