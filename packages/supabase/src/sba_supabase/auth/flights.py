"""Work that several callers want at once, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Flights:
    """Runs one piece of work at a time for each secret, for all who ask meanwhile.

    A caller who gives up does not end the work: what it rotates would be lost with it.
    """

    def __init__(self) -> None:
        self._running: dict[bytes, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._running)

    async def join(self, secret: str, work: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """The result of the work under way for that secret, or of new work.

        Args:
            secret: what the work is about; only its digest is kept.
            work: starts it.
        """
        key = sha256(secret.encode()).digest()
        task: asyncio.Task[_Result] | None = self._running.get(key)
        if task is None:
            task = asyncio.create_task(work())
            self._running[key] = task
            task.add_done_callback(lambda done: self._land(key, done))
        await asyncio.wait((task,))
        return task.result()

    def _land(self, key: bytes, task: asyncio.Task[Any]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()

    async def aclose(self) -> None:
        """Give up whatever is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
