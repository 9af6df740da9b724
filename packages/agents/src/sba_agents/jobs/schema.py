"""The queue's own schema: Procrastinate's tables, our one door to them, and who may do what."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final, Protocol

from procrastinate.schema import SchemaManager

from sba_db.migrate import owner_connection

INSTALL_LOCK: Final = 72707371
LOCK: Final = b"select pg_advisory_xact_lock(%(lock)s)"
INSTALLED: Final = b"select to_regclass('queue.procrastinate_jobs') is not null as installed"
CREATE: Final = b"create schema if not exists queue"
SEARCH_PATH: Final = b"set local search_path = queue"
DOOR: Final = files("sba_agents.jobs").joinpath("queue.sql").read_bytes()


async def install(url: str) -> bool:
    """Make schema `queue`, or bring its door and its grants up to date.

    Safe to repeat and to run twice at once. `sba_app` may only execute `queue.defer_run`; `sba_worker` may do
    what a worker does.

    Args:
        url: DSN of `sba_migrator`, on a direct connection.

    Returns:
        True if the schema was made now.

    Raises:
        UnsafeRole: The login may not act as the owner.
        DatabaseUnavailable: Postgres is not reachable.
    """
    async with owner_connection(url) as connection, connection.transaction():
        await connection.execute(LOCK, {"lock": INSTALL_LOCK})
        cursor = await connection.execute(INSTALLED)
        row = await cursor.fetchone()
        missing = not (row and row["installed"])
        if missing:
            await _create(connection)
        await connection.execute(DOOR)
    return missing


class _Connection(Protocol):
    async def execute(self, query: bytes) -> Any: ...  # noqa: ANN401 - a cursor of the driver


async def _create(connection: _Connection) -> None:
    await connection.execute(CREATE)
    await connection.execute(SEARCH_PATH)
    await connection.execute(SchemaManager.get_schema().encode())
