"""What is counted of both sides: calls, errors, and durations in a bounded histogram."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

FIRST = 0.001
STEPS = 4
BUCKETS = 68


class Side(StrEnum):
    """Which of the two ways a tenant gets."""

    STABLE = "stable"
    CANDIDATE = "candidate"


def bucket_of(seconds: float) -> int:
    """The bucket of a duration: each is a fourth root of two wider than the one before."""
    if seconds <= FIRST:
        return 0
    return min(BUCKETS - 1, math.ceil(math.log2(seconds / FIRST) * STEPS))


def upper_bound(bucket: int) -> float:
    """The longest duration of a bucket in seconds; the last one holds everything beyond two minutes too."""
    return float(FIRST * 2 ** (bucket / STEPS))


def count(counts: Counter[str], side: Side, *, ok: bool, seconds: float) -> None:
    """Add one call to counts; the duration of a failed call says nothing and is left out."""
    counts[f"{side}:calls"] += 1
    if ok:
        counts[f"{side}:{bucket_of(seconds)}"] += 1
    else:
        counts[f"{side}:errors"] += 1


@dataclass(frozen=True, slots=True)
class Totals:
    """One side over the window.

    Attributes:
        calls: Calls that succeeded or failed.
        errors: Calls that failed.
        buckets: Successful calls by bucket of duration.
    """

    calls: int = 0
    errors: int = 0
    buckets: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, counts: Mapping[str, int], side: Side) -> Totals:
        """The totals of one side among the counts of both."""
        mine = {name.partition(":")[2]: n for name, n in counts.items() if name.startswith(f"{side}:")}
        calls, errors = mine.pop("calls", 0), mine.pop("errors", 0)
        return cls(calls, errors, {int(bucket): n for bucket, n in sorted(mine.items())})

    @property
    def error_rate(self) -> float:
        """Share of calls that failed; 0 when there were none."""
        return self.errors / self.calls if self.calls else 0.0

    @property
    def timed(self) -> int:
        """Calls whose duration is known."""
        return sum(self.buckets.values())

    @property
    def p95(self) -> float:
        """Seconds within which 95 of 100 successful calls ended, rounded up to a bucket; 0 without any."""
        return upper_bound(self.bucket_at(0.95 * self.timed)) if self.timed else 0.0

    def bucket_at(self, rank: float) -> int:
        """The bucket of the call at a rank, counted from the fastest; beyond all calls it is the last."""
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return bucket
        return BUCKETS - 1
