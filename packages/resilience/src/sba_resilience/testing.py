"""A clock that moves only when told, for tests of whatever waits or expires."""

from __future__ import annotations

import asyncio


class FakeClock:
    """Seconds that pass when the test says so.

    Every part of this package takes a clock; `sleep` stands in where a part waits, as `Retry` does.

    Args:
        now: Where it starts.
    """

    __slots__ = ("now", "slept")

    def __init__(self, now: float = 100.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: Time does not run backwards.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        """Let time pass and give other tasks a turn; the seconds are kept in `slept`."""
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)
