"""One load at a time for each question, whoever asked first and whether or not they stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from sba_cache.coherence import Mark
from sba_resilience.deadline import Deadline

T = TypeVar("T")


class _Flight(NamedTuple, Generic[T]):
    task: asyncio.Task[T]
    mark: Mark


class Flights(Generic[T]):
    """Loads under way in this process.

    A load belongs to all who wait for it: cancelling one of them, the first included, does not end it,
    and each waits no longer than its own deadline. One that began before a change nobody joins any more.

    Args:
        holds: Whether what began after a mark may still be joined.
    """

    __slots__ = ("_holds", "_tasks", "_under_way")

    def __init__(self, holds: Callable[[Mark], bool]) -> None:
        self._holds = holds
        self._under_way: dict[Hashable, _Flight[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()

    def start(self, key: Hashable, mark: Mark, load: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The load of this key, begun unless there is one to join."""
        known = self._under_way.get(key)
        if known is not None and self._holds(known.mark):
            return known.task
        with Deadline.detached():
            task = asyncio.get_running_loop().create_task(load())
        self._tasks.add(task)
        self._under_way[key] = _Flight(task, mark)
        task.add_done_callback(lambda done: self._land(key, done))
        return task

    def _land(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        known = self._under_way.get(key)
        if known is not None and known.task is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # everyone who waited may have gone


async def landed(task: asyncio.Task[T], within: float | None = None) -> T:
    """Wait for a load that goes on without its callers.

    Args:
        task: The load.
        within: Seconds to wait at most.

    Raises:
        DeadlineExceeded: The caller's deadline passed.
        TimeoutError: `within` passed.
        Exception: What the load failed with.
    """
    deadline = Deadline.current()
    if deadline is None and within is None:
        return await asyncio.shield(task)
    async with asyncio.timeout(within):
        if deadline is None:
            return await asyncio.shield(task)
        async with deadline.bound():
            return await asyncio.shield(task)
