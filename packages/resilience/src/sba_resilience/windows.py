"""What a breaker remembers: the last N outcomes, or those of the last seconds."""

from __future__ import annotations

from collections import deque
from typing import Protocol

SLICES = 10


class Window(Protocol):
    """Outcomes that still count."""

    calls: int
    failed: int
    slow: int

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one outcome and forget those that are too old.

        Args:
            now: Monotonic seconds.
            failed: The dependency failed.
            slow: It took too long, whether it failed or not.
        """

    def clear(self) -> None:
        """Forget everything."""


class CountWindow:
    """The last outcomes by number, none older than an age.

    Args:
        size: Outcomes remembered.
        within: Seconds after which one is forgotten.
    """

    __slots__ = ("_outcomes", "_size", "_within", "calls", "failed", "slow")
    calls: int
    failed: int
    slow: int

    def __init__(self, size: int, within: float) -> None:
        self._size = size
        self._within = within
        self._outcomes: deque[tuple[float, bool, bool]] = deque()
        self.clear()

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one outcome and forget those that are too many or too old."""
        outcomes = self._outcomes
        outcomes.append((now, failed, slow))
        self.failed += failed
        self.slow += slow
        oldest = now - self._within
        while len(outcomes) > self._size or outcomes[0][0] < oldest:
            _, was_failed, was_slow = outcomes.popleft()
            self.failed -= was_failed
            self.slow -= was_slow
        self.calls = len(outcomes)

    def clear(self) -> None:
        """Forget everything."""
        self._outcomes.clear()
        self.calls = self.failed = self.slow = 0


class TimeWindow:
    """The outcomes of the last seconds, however many: counts in ten slices of time.

    An outcome is forgotten with its slice, between nine and ten tenths of `within` after it happened.

    Args:
        within: Seconds remembered.
    """

    __slots__ = ("_newest", "_slices", "_width", "calls", "failed", "slow")
    calls: int
    failed: int
    slow: int

    def __init__(self, within: float) -> None:
        self._width = within / SLICES
        self.clear()

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one outcome and forget the slices that are too old."""
        number = int(now // self._width)
        if number > self._newest:
            self._turn(number)
        here = self._slices[self._newest % SLICES]
        here[0] += 1
        here[1] += failed
        here[2] += slow
        self.calls += 1
        self.failed += failed
        self.slow += slow

    def clear(self) -> None:
        """Forget everything."""
        self._slices = [[0, 0, 0] for _ in range(SLICES)]
        self._newest = 0
        self.calls = self.failed = self.slow = 0

    def _turn(self, number: int) -> None:
        for gone in range(max(self._newest + 1, number - SLICES + 1), number + 1):
            calls, failed, slow = self._slices[gone % SLICES]
            self.calls -= calls
            self.failed -= failed
            self.slow -= slow
            self._slices[gone % SLICES] = [0, 0, 0]
        self._newest = number
