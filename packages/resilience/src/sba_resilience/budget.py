"""A bound on retries that all calls share, so that retries cannot multiply an outage's load."""

from __future__ import annotations

import time
from collections.abc import Callable


class RetryBudget:
    """A bucket of retries, filled by calls and by time.

    Over any time the retries are at most `burst + share * calls + per_second * seconds`, however many
    attempts each call is allowed: while a dependency is down it gets `share` more load, not `attempts`
    times as much. Share one budget among all callers of a dependency.

    Args:
        share: Retries each first attempt adds.
        per_second: Retries each second adds, so that a quiet caller may retry too.
        burst: Retries saved up at most; the bucket begins full.
        clock: Monotonic seconds.
    """

    __slots__ = ("_burst", "_clock", "_filled_at", "_per_second", "_share", "_tokens")

    def __init__(
        self,
        share: float = 0.1,
        per_second: float = 1.0,
        burst: float = 10.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= share <= 1 or per_second < 0 or burst < 1:
            raise ValueError("need 0 <= share <= 1, per_second >= 0, burst >= 1")
        self._share = share
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled_at = clock()

    @property
    def left(self) -> float:
        """Retries that may be made now."""
        self._fill(0.0)
        return self._tokens

    def earn(self) -> None:
        """Count a first attempt."""
        self._fill(self._share)

    def spend(self) -> bool:
        """Take one retry out; False when there is none."""
        self._fill(0.0)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _fill(self, more: float) -> None:
        now = self._clock()
        more += max(0.0, now - self._filled_at) * self._per_second
        self._filled_at = now
        self._tokens = min(self._burst, self._tokens + more)
