"""A bound on calls in flight and on callers waiting for a place."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from sba_resilience.errors import BulkheadFull
from sba_telemetry import tally

_events = tally(
    "sba.bulkhead.events",
    description="Calls admitted, finished, queued, refused, timed out and gone, by bulkhead.",
)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BulkheadSnapshot:
    """A bulkhead at one moment.

    Attributes:
        name: The bulkhead.
        limit: Calls in flight at once.
        in_flight: Calls in flight now.
        waiting: Callers waiting now.
    """

    name: str
    limit: int
    in_flight: int
    waiting: int


class Bulkhead:
    """Keeps one slow dependency from taking every task.

    Callers wait in the order they came; a place that becomes free goes to the one that waited longest,
    never to one that has just arrived. `admitted - finished` of its metric are the calls in flight.

    Args:
        limit: Calls in flight at once.
        queue: Callers that may wait for a place; the next one is refused.
        max_wait: Seconds a caller waits before it is refused; None for as long as it likes.
        name: Dependency and operation in the metric; never a tenant.
    """

    __slots__ = ("_cells", "_in_flight", "_limit", "_max_wait", "_queue", "_waiters", "name")

    def __init__(
        self, limit: int, queue: int = 0, *, max_wait: float | None = None, name: str = "default"
    ) -> None:
        if limit < 1 or queue < 0 or (max_wait is not None and max_wait <= 0):
            raise ValueError("limit is at least 1, queue at least 0 and max_wait above 0")
        self.name = name
        self._limit = limit
        self._queue = queue
        self._max_wait = max_wait
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[bool]] = deque()
        events = ("admitted", "finished", "queued", "refused", "timed_out", "gone")
        self._cells = {event: _events.cell({"bulkhead": name, "event": event}) for event in events}

    @property
    def snapshot(self) -> BulkheadSnapshot:
        """Places taken and callers waiting at this moment."""
        return BulkheadSnapshot(self.name, self._limit, self._in_flight, len(self._waiters))

    async def call(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a place.

        Raises:
            BulkheadFull: Every place and waiting place is taken, or the wait was too long; `fn` was not run.
        """
        async with self.place():
            return await fn(*args, **kwargs)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for the time of the block.

        Raises:
            BulkheadFull: Every place and waiting place is taken, or the wait was too long.
        """
        if self._in_flight < self._limit:
            self._in_flight += 1
        else:
            await self._wait()
        self._cells["admitted"].count += 1
        try:
            yield
        finally:
            self._cells["finished"].count += 1
            self._leave()

    async def _wait(self) -> None:
        if len(self._waiters) >= self._queue:
            self._cells["refused"].count += 1
            raise BulkheadFull(self._limit, self._queue)
        self._cells["queued"].count += 1
        if not await self._turn():
            self._cells["timed_out"].count += 1
            raise BulkheadFull(self._limit, self._queue, waited=self._max_wait or 0.0)

    async def _turn(self) -> bool:
        """Wait to be handed a place; False when that took too long."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters.append(waiter)
        timer = None if self._max_wait is None else loop.call_later(self._max_wait, self._expire, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._cells["gone"].count += 1
            self._withdraw(waiter)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _withdraw(self, waiter: asyncio.Future[bool]) -> None:
        """Leave the queue, passing on a place that was handed over in the same turn of the loop."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif not waiter.cancelled() and waiter.result():
            self._leave()

    def _expire(self, waiter: asyncio.Future[bool]) -> None:
        if not waiter.done():
            self._waiters.remove(waiter)
            waiter.set_result(False)

    def _leave(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(True)
                return
        self._in_flight -= 1
