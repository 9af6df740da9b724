"""Connections that act as the owner of everything, one runner at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row

from sba_db.errors import MigrationLocked, UnsafeRole
from sba_db.failures import translate
from sba_db.urls import parameters_of

PRISMA_LOCK: Final = 72707369
OWNER: Final = "sba_owner"
ASK_AGAIN: Final = 0.1

LOCK_TIMEOUT = "select set_config('lock_timeout', %s, false)"
WAIT = "select setting::float8 / 1000 as seconds from pg_settings where name = 'lock_timeout'"
TRY_LOCK = "select pg_try_advisory_lock(%s) as taken"
UNLOCK = "select pg_advisory_unlock(%s)"

OwnerConnection = psycopg.AsyncConnection[dict[str, Any]]


@asynccontextmanager
async def owner_connection(url: str, *, lock_timeout: float = 10.0) -> AsyncIterator[OwnerConnection]:
    """An autocommit connection that acts as the owner of everything.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.
        lock_timeout: Longest wait for a lock, in seconds, so that a migration never queues traffic behind it.

    Raises:
        InvalidValue: The URL is not a Postgres connection string.
        UnsafeRole: The login may not act as `sba_owner`.
        DatabaseError: Postgres is not reachable, or said no to what was asked inside.
    """
    connection: OwnerConnection
    parameters_of(url)
    try:
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row)
    except psycopg.Error as error:
        raise translate(error) from None
    async with connection:
        try:
            await connection.execute(f"set role {OWNER}")
        except (pg.InsufficientPrivilege, pg.InvalidParameterValue):
            raise UnsafeRole(connection.info.user, f"cannot act as {OWNER}") from None
        try:
            await connection.execute("select set_config('statement_timeout', '0', false)")
            await connection.execute(LOCK_TIMEOUT, (f"{round(lock_timeout * 1000)}ms",))
            yield connection
        except psycopg.Error as error:
            raise translate(error) from None


@asynccontextmanager
async def patient(connection: OwnerConnection) -> AsyncIterator[None]:
    """No lock timeout, for a statement that lets traffic pass while it waits."""
    limit = await _lock_timeout(connection)
    await connection.execute(LOCK_TIMEOUT, ("0",))
    try:
        yield
    finally:
        if not connection.broken:
            await connection.execute(LOCK_TIMEOUT, (f"{round(limit * 1000)}ms",))


@asynccontextmanager
async def migration_lock(connection: OwnerConnection) -> AsyncIterator[None]:
    """Hold the lock that Prisma's own runner takes too.

    Who waits asks again and again: inside a waiting statement its snapshot would hold up an index that the
    lock's holder builds concurrently, and neither would get on.

    Raises:
        MigrationLocked: Another runner did not let go within the connection's lock timeout.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + await _lock_timeout(connection)
    while not (await _row(connection, TRY_LOCK, PRISMA_LOCK))["taken"]:
        if loop.time() >= deadline:
            raise MigrationLocked
        await asyncio.sleep(ASK_AGAIN)
    try:
        yield
    finally:
        if not connection.broken:
            await connection.execute(UNLOCK, (PRISMA_LOCK,))


async def _lock_timeout(connection: OwnerConnection) -> float:
    return float((await _row(connection, WAIT))["seconds"])


async def _row(connection: OwnerConnection, query: str, *params: object) -> dict[str, Any]:
    return (await (await connection.execute(query.encode(), params)).fetchall())[0]
