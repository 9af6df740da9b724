"""The parts of a stack: each is started again when it ends by itself, unless it keeps doing that."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from sba_local.console import STACK
from sba_local.engine import Engine
from sba_local.errors import EngineFailed, LocalError
from sba_local.services import Listener, RunningService, Service

T = TypeVar("T")

_LINES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Rules:
    """When a part that ended is started again.

    Attributes:
        most: how often it may end in `window` and still be started again.
        window: in seconds.
        first_pause: seconds until it is started again, so that its absence can be seen.
        longest_pause: bound of the pause, which doubles each time a part ends again within this many seconds.
    """

    most: int = 5
    window: float = 60.0
    first_pause: float = 1.0
    longest_pause: float = 10.0


class Part(Protocol):
    """A process of the stack, whichever it is at the moment."""

    def has_ended(self) -> bool:
        """Whether it is not running."""

    async def failure(self) -> LocalError:
        """Wait for its end and return what to say about it."""

    async def restart(self) -> None:
        """Start it again after its end.

        Raises:
            LocalError: it cannot be started.
        """


class EnginePart:
    """An engine as a part of the stack.

    Args:
        engine: started.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def has_ended(self) -> bool:
        """Whether it is not running."""
        return self._engine.process.poll() is not None

    async def failure(self) -> LocalError:
        """Wait for its end and return what to say about it."""
        status = await self._engine.process.ended()
        return EngineFailed(self._engine.name, f"ended with status {status}", log=self._engine.last_lines())

    async def restart(self) -> None:
        """Start it again on the same data and port.

        Raises:
            LocalError: it cannot be started.
        """
        await to_the_end(asyncio.to_thread(self._engine.restart))


class ServicePart:
    """A service as a part of the stack; started.

    Args:
        service: what to start.
        environment: its whole environment.
        listener: is told the service's name and each line it writes.
        hold: descriptors its keeper holds until it has ended.

    Raises:
        ServiceFailed: it cannot be started.
    """

    def __init__(
        self, service: Service, *, environment: Mapping[str, str], listener: Listener, hold: Sequence[int]
    ) -> None:
        self._start = partial(RunningService, service, environment=environment, listener=listener, hold=hold)
        self._running = self._start()

    def has_ended(self) -> bool:
        """Whether it is not running."""
        return self._running.has_ended()

    async def ready(self, *, seconds: float) -> None:
        """Wait until it can be used.

        Raises:
            ServiceFailed: it ended, or was not ready after `seconds`; says what was missing.
        """
        await self._running.ready(seconds=seconds)

    async def failure(self) -> LocalError:
        """Wait for its end and return what to say about it."""
        return await self._running.failure()

    async def restart(self) -> None:
        """Start it again at the same address; whatever it needs may still be missing then.

        Raises:
            ServiceFailed: it cannot be started.
        """
        self._running = self._start()

    async def stop(self) -> None:
        """End it in good order and hear its last words."""
        await self._running.stop()


async def keep_up(
    part: Part, rules: Rules, listener: Listener, *, clock: Callable[[], float] = time.monotonic
) -> LocalError:
    """Start `part` again whenever it ends by itself; return its last failure once that happens too often.

    Args:
        part: running.
        rules: say what is too often.
        listener: is told of each restart, with the part's last lines.
        clock: seconds from anywhere.
    """
    ends: deque[float] = deque(maxlen=rules.most + 1)
    pause = rules.first_pause
    failure = await part.failure()
    while not _too_often(ends, clock(), rules):
        _tell(listener, failure)
        await asyncio.sleep(pause)
        began = clock()
        failure = await _one_more_life(part)
        quickly = clock() - began < rules.longest_pause
        pause = min(2 * pause, rules.longest_pause) if quickly else rules.first_pause
    return failure


def _too_often(ends: deque[float], now: float, rules: Rules) -> bool:
    ends.append(now)
    return len(ends) > rules.most and now - ends[0] <= rules.window


async def _one_more_life(part: Part) -> LocalError:
    try:
        await part.restart()
    except LocalError as error:
        return error
    return await part.failure()


def _tell(listener: Listener, failure: LocalError) -> None:
    listener(STACK, f"{failure.summary}; starting it again")
    for line in failure.last_lines.splitlines()[-_LINES_SHOWN:]:
        listener(STACK, f"  {line}")


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for work that cannot be cancelled; a cancellation is passed on once it has ended."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
