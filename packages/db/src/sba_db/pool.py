"""The connections of one process: given back without awaiting, replaced when they die."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import psycopg

from sba_db.connection import Connection
from sba_db.errors import DatabaseUnavailable, PoolExhausted
from sba_db.failures import SOON, UNREACHABLE, translate
from sba_resilience import Breaker, BreakerOpen, State
from sba_telemetry import get_logger

MAX_LIFETIME: Final = 3600.0
MAX_IDLE: Final = 600.0
BREAKER: Final = "postgres.connect"
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
PROBE_PATIENCE: Final = 0.5

_log = get_logger(__name__)


def connecting() -> Breaker:
    """The breaker over the making of connections: longer pauses after each failure, one attempt each.

    It judges the server alone. A statement that fails or hangs, whoever sent it, is no outcome here, and a
    connection that stands is handed out whatever the breaker says.
    """
    return Breaker(
        BREAKER,
        window=1,
        minimum_calls=1,
        open_for=FIRST_PAUSE,
        open_growth=2.0,
        open_cap=LONGEST_PAUSE,
        jitter=0.5,
    )


class Pool:
    """Between `min_size` and `max_size` connections, made when they are needed.

    Giving a connection back never awaits, so that a cancelled caller cannot lose one. When an attempt to
    connect fails and no connection stands, every caller is told at once, and so is whoever comes while the
    breaker is open: nobody queues up for a server that is away. The first caller after that makes the next
    attempt, so that recovery needs no timer.

    Args:
        connect: Makes a connection.
        min_size: Connections kept open.
        max_size: Most connections open.
        timeout: Longest wait for one, in seconds.
        breaker: Over the making of connections.
    """

    __slots__ = (
        "_breaker",
        "_closed",
        "_connect",
        "_idle",
        "_max",
        "_min",
        "_opening",
        "_reason",
        "_size",
        "_timeout",
        "_waiting",
    )

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        *,
        min_size: int,
        max_size: int,
        timeout: float,
        breaker: Breaker | None = None,
    ) -> None:
        self._connect = connect
        self._breaker = breaker or connecting()
        self._min = min_size
        self._max = max_size
        self._timeout = timeout
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._opening: set[asyncio.Future[Connection]] = set()
        self._size = 0
        self._reason = UNREACHABLE
        self._closed = False

    @property
    def size(self) -> int:
        """Connections that are open or being opened."""
        return self._size

    @property
    def idle(self) -> int:
        """Connections that nobody uses now."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Callers that wait for a connection."""
        return sum(not waiter.done() for waiter in self._waiting)

    def open(self) -> None:
        """Begin to connect in the background; Postgres need not be up."""
        for _ in range(self._min):
            self._grow()

    async def close(self) -> None:
        """Close what is idle and fail who waits; connections in use close when they are given back."""
        self._closed = True
        self._fail_all(lambda: DatabaseUnavailable("the database is closed"))
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        while self._idle:
            self._drop(self._idle.pop())

    async def acquire(self) -> Connection:
        """An idle connection that still stands, or a new one.

        Raises:
            PoolExhausted: None came free in time.
            DatabaseUnavailable: Postgres cannot be reached.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.alive():
                return connection
            self._drop(connection)
        return await self._wait()

    def release(self, connection: Connection) -> None:
        """Take a connection back; one that is not clean, or too old, is closed instead."""
        if self._closed or not connection.reusable:
            self._drop(connection)
            return
        connection.idle_since = time.monotonic()
        waiter = self._next_waiter()
        if waiter:
            waiter.set_result(connection)
            return
        self._idle.append(connection)
        self._shrink(connection.idle_since)

    async def _wait(self) -> Connection:
        if self._closed:
            raise DatabaseUnavailable("the database is closed")
        self._grow()
        if not self._size:
            raise self._away()
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._patience()):
                return await waiter
        except BaseException as error:
            self._leave(waiter)
            if isinstance(error, TimeoutError):
                raise self._late() from None
            raise

    def _patience(self) -> float:
        only_a_probe = self._breaker.state is State.HALF_OPEN and self._size == len(self._opening)
        return min(self._timeout, PROBE_PATIENCE) if only_a_probe else self._timeout

    def _leave(self, waiter: asyncio.Future[Connection]) -> None:
        if not waiter.done():
            waiter.cancel()
        elif not waiter.cancelled() and waiter.exception() is None:
            self.release(waiter.result())

    def _late(self) -> DatabaseUnavailable:
        if self._size > len(self._opening):
            return PoolExhausted("every database connection is in use")
        return self._away()

    def _away(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(self._reason, retry_after=max(self._breaker.retry_after, SOON))

    def _next_waiter(self) -> asyncio.Future[Connection] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def _fail_all(self, error: Callable[[], Exception]) -> None:
        while waiter := self._next_waiter():
            waiter.set_exception(error())

    def _grow(self) -> None:
        if self._size >= self._max or self._closed:
            return
        try:
            permit = self._breaker.allow()
        except BreakerOpen:
            return
        self._size += 1
        task = asyncio.ensure_future(self._connect())
        self._opening.add(task)
        task.add_done_callback(partial(self._opened, permit))

    def _opened(self, permit: int, task: asyncio.Future[Connection]) -> None:
        self._opening.discard(task)
        if task.cancelled():
            self._size -= 1
            self._breaker.release(permit)
            return
        error = task.exception()
        self._breaker.record(permit, ok=error is None)
        if error is None:
            self._welcome(task.result())
        else:
            self._size -= 1
            self._reason = str(translate(error)) if isinstance(error, psycopg.Error) else UNREACHABLE
            _log.warning("postgres_not_connected", reason=self._reason)
            self._without(error)

    def _welcome(self, connection: Connection) -> None:
        self._reason = UNREACHABLE
        connection.expires_at = time.monotonic() + MAX_LIFETIME * random.uniform(0.9, 1.0)  # noqa: S311 - jitter
        self.release(connection)
        self._serve()

    def _without(self, error: BaseException) -> None:
        """Tell who waits, unless there is a connection to wait for."""
        if self._size:
            return

        def reason() -> Exception:
            told = translate(error) if isinstance(error, psycopg.Error) else self._away()
            return self._away() if isinstance(told, DatabaseUnavailable) else told

        self._fail_all(reason)

    def _serve(self) -> None:
        if self.waiting > len(self._opening):
            self._grow()
        if not self._size:
            self._fail_all(self._away)

    def _drop(self, connection: Connection) -> None:
        self._size -= 1
        connection.pgconn.finish()
        self._serve()

    def _shrink(self, now: float) -> None:
        if self._size > self._min and now - self._idle[0].idle_since > MAX_IDLE:
            self._drop(self._idle.pop(0))
