"""One load at a time for each question, whoever asked first and whether or not they stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from sba_resilience.deadline import Deadline

T = TypeVar("T")


class Flights:
    """Loads under way in this process.

    A load belongs to all who wait for it: cancelling one of them, the first included, does not end it,
    and each waits no longer than its own deadline.
    """

    __slots__ = ("_under_way",)

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}

    async def join(self, key: Hashable, load: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for the load of this key, starting it when there is none.

        Raises:
            DeadlineExceeded: The caller's deadline passed; the load goes on.
            Exception: What the load failed with.
        """
        flight: asyncio.Task[T] = self._under_way.get(key) or self._start(key, load)
        deadline = Deadline.current()
        if deadline is None:
            return await asyncio.shield(flight)
        async with deadline.bound():
            return await asyncio.shield(flight)

    def _start(self, key: Hashable, load: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        with Deadline.detached():
            flight = asyncio.get_running_loop().create_task(load())
        self._under_way[key] = flight
        flight.add_done_callback(lambda done: self._land(key, done))
        return flight

    def _land(self, key: Hashable, flight: asyncio.Task[Any]) -> None:
        del self._under_way[key]
        if not flight.cancelled():
            flight.exception()  # everyone who waited may have gone
