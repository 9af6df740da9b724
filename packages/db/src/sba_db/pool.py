"""The connections of one process: given back without awaiting, replaced when they die."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg

from sba_db.connection import Connection
from sba_db.errors import DatabaseUnavailable, PoolExhausted
from sba_db.failures import translate

MAX_LIFETIME: Final = 3600.0
MAX_IDLE: Final = 600.0


class Pool:
    """Between `min_size` and `max_size` connections, made when they are needed.

    Giving a connection back never awaits, so that a cancelled caller cannot lose one. A failed attempt to
    connect fails the caller that has waited longest at once; the next caller makes the next attempt, so that
    recovery needs no timer.
    """

    __slots__ = ("_closed", "_connect", "_idle", "_max", "_min", "_opening", "_size", "_timeout", "_waiting")

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], *, min_size: int, max_size: int, timeout: float
    ) -> None:
        self._connect = connect
        self._min = min_size
        self._max = max_size
        self._timeout = timeout
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._opening: set[asyncio.Future[Connection]] = set()
        self._size = 0
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
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        while self._idle:
            self._drop(self._idle.pop())
        while self._waiting:
            self._fail_next(DatabaseUnavailable("the database is closed"))

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
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._grow()
        try:
            async with asyncio.timeout(self._timeout):
                return await waiter
        except BaseException as error:
            self._leave(waiter)
            if isinstance(error, TimeoutError):
                raise self._late() from None
            raise

    def _leave(self, waiter: asyncio.Future[Connection]) -> None:
        if not waiter.done():
            waiter.cancel()
        elif not waiter.cancelled() and waiter.exception() is None:
            self.release(waiter.result())

    def _late(self) -> DatabaseUnavailable:
        if self._size > len(self._opening):
            return PoolExhausted("every database connection is in use")
        return DatabaseUnavailable()

    def _next_waiter(self) -> asyncio.Future[Connection] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def _fail_next(self, error: BaseException) -> None:
        waiter = self._next_waiter()
        if waiter:
            waiter.set_exception(error)

    def _grow(self) -> None:
        if self._size < self._max and not self._closed:
            self._size += 1
            task = asyncio.ensure_future(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Future[Connection]) -> None:
        self._opening.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            connection = task.result()
            connection.expires_at = time.monotonic() + MAX_LIFETIME * random.uniform(0.9, 1.0)  # noqa: S311 - jitter
            self.release(connection)
            return
        self._size -= 1
        self._fail_next(translate(error) if isinstance(error, psycopg.Error) else error)
        self._serve()

    def _serve(self) -> None:
        if self.waiting > len(self._opening):
            self._grow()

    def _drop(self, connection: Connection) -> None:
        self._size -= 1
        connection.pgconn.finish()
        self._serve()

    def _shrink(self, now: float) -> None:
        if self._size > self._min and now - self._idle[0].idle_since > MAX_IDLE:
            self._drop(self._idle.pop(0))
