"""A token bucket for one socket, in this process."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """Refills at ``rate`` tokens a second up to ``burst``.

    Attributes:
        refused: Takes refused since the last one that passed.
    """

    __slots__ = ("_at", "_burst", "_clock", "_level", "_rate", "refused")

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._level = float(burst)
        self._at = clock()
        self.refused = 0

    def take(self) -> float:
        """Take one token: 0.0 when there was one, else the seconds until there will be."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            self.refused += 1
            return (1 - self._level) / self._rate
        self._level -= 1
        self.refused = 0
        return 0.0
