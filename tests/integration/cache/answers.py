"""What the loaders of these tests answer, and clocks that go when told to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from sba_cache import CacheKey

KEY = CacheKey("t", "knowledge", "q", 1)


class Answer(msgspec.Struct):
    text: str
    at: int


class Loader:
    """Counts its calls; waits for a gate when it has one; fails when told to."""

    def __init__(self, gate: asyncio.Event | None = None, text: str = "loaded") -> None:
        self.calls = 0
        self.gate = gate
        self.text = text
        self.error: Exception | None = None

    async def __call__(self) -> Answer:
        self.calls += 1
        answer = Answer(self.text, self.calls)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return answer


@dataclass
class Time:
    """One clock for the process and the server."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now
