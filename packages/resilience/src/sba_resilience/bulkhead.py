"""A bound on calls in flight and on callers waiting for a place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from sba_resilience.errors import BulkheadFull

P = ParamSpec("P")
T = TypeVar("T")


class Bulkhead:
    """Keeps one slow dependency from taking every task.

    Args:
        limit: Calls in flight at once.
        queue: Callers that may wait for a place; the next one is refused.
    """

    __slots__ = ("_limit", "_places", "_queue", "_waiting")

    def __init__(self, limit: int, queue: int = 0) -> None:
        if limit < 1 or queue < 0:
            raise ValueError("limit is at least 1 and queue at least 0")
        self._limit = limit
        self._queue = queue
        self._waiting = 0
        self._places = asyncio.Semaphore(limit)

    async def call(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a place.

        Raises:
            BulkheadFull: Every place and waiting place is taken; `fn` was not run.
        """
        async with self.place():
            return await fn(*args, **kwargs)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for the time of the block.

        Raises:
            BulkheadFull: Every place and waiting place is taken.
        """
        await self._enter()
        try:
            yield
        finally:
            self._places.release()

    async def _enter(self) -> None:
        if self._places.locked() and self._waiting >= self._queue:
            raise BulkheadFull(self._limit, self._queue)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
