"""A few database connections, made when they are needed and kept while they are sound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from sba_local.supabase.errors import DatabaseAway, DatabaseBusy, LoginTooPowerful

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
_LOGIN: Final = (
    "select rolname, rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = session_user"
)


class Connections:
    """Lends connections, one caller each.

    Args:
        url: of the database, with a login that is below row-level security.
        most: connections at a time.
        timeout: longest wait for one, in seconds.
    """

    def __init__(self, url: str, *, most: int, timeout: float) -> None:
        self._url = url
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(most)
        self._timeout = timeout

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        """A connection in no transaction.

        Raises:
            DatabaseUnavailable: there is no database, or all connections are busy for too long.
        """
        await self._wait()
        try:
            connection = await self._take()
            try:
                yield connection
            finally:
                await self._give_back(connection)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Close those that are not lent."""
        while self._idle:
            await self._idle.pop().close()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError:
            raise DatabaseBusy from None

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        try:
            return await self._connect()
        except psycopg.OperationalError:
            raise DatabaseAway from None

    async def _connect(self) -> Connection:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, prepare_threshold=None, application_name="sba-stand-in"
        )
        row = await (await connection.execute(_LOGIN)).fetchone()
        if row is None or row[1]:
            await connection.close()
            raise LoginTooPowerful("the login" if row is None else str(row[0]))
        return connection

    async def _give_back(self, connection: Connection) -> None:
        if connection.info.transaction_status is TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            await connection.close()
