"""Work of a client that no caller waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from sba_resilience.deadline import Deadline

T = TypeVar("T")

CANCEL_AGAIN: Final = 0.05  # seconds


def in_background(work: Coroutine[object, object, T]) -> asyncio.Task[T]:
    """Start work without anyone's deadline; whoever wants its error awaits the task."""
    with Deadline.detached():
        task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def ended(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks until they are over: one that was just completing something may miss a cancellation."""
    pending = {task for task in tasks if task is not None}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN)
