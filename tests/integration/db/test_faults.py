"""Postgres killed, hung and restarted under the pool."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sba_db import (
    DatabaseError,
    DatabaseSettings,
    DatabaseTimeout,
    DatabaseUnavailable,
    Reader,
    open_database,
)
from sba_local.ports import free_port
from sba_local.postgres import EmbeddedPostgres
from tests.integration.db.conftest import until

READ = "select %(tenant)s::uuid as tenant"
TENANT = "00000000-0000-0000-0000-0000000000aa"


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(port=free_port()) as server:
        yield server


def settings_of(server: EmbeddedPostgres, **fields: float) -> DatabaseSettings:
    quick = {"connect_timeout": 0.4, "pool_timeout": 0.5, "statement_timeout": 0.4, "grace": 0.2}
    return DatabaseSettings(url=server.url(), max_size=3, **{**quick, **fields})


def processes(server: EmbeddedPostgres) -> list[psutil.Process]:
    """The server's own processes, the postmaster first."""
    keeper = psutil.Process(server.pid)
    return [one for one in (keeper, *keeper.children(recursive=True)) if one.name().startswith("postgres")]


@contextlib.contextmanager
def hung(server: EmbeddedPostgres) -> Iterator[None]:
    """Every process of the server stopped where it stands."""
    stopped = processes(server)
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            process.resume()


def ended(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


async def kill(server: EmbeddedPostgres) -> None:
    killed = processes(server)
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()

    async def all_have_ended() -> bool:
        return all(map(ended, killed))

    await until(all_have_ended)


async def test_the_pool_recovers_by_itself_once_a_killed_postgres_is_back(tmp_path: Path):
    with EmbeddedPostgres(tmp_path / "pg", port=free_port()) as server:
        async with open_database(settings_of(server)) as database:
            reader = database.reader(TENANT)
            await asyncio.gather(*(reader.fetch_one(READ) for _ in range(3)))
            await kill(server)
            calls = (reader.fetch_one(READ) for _ in range(9))
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(one) for one in results} == {DatabaseUnavailable}

            server.stop()
            await asyncio.to_thread(server.start)
            rows = await asyncio.gather(*(reader.fetch_one(READ) for _ in range(9)))
            assert len(rows) == 9


async def test_a_database_opened_before_postgres_is_up_serves_once_it_is(tmp_path: Path):
    port = free_port()
    server = EmbeddedPostgres(tmp_path / "pg", port=port, password="pw")
    url = f"postgresql://postgres:pw@127.0.0.1:{port}/postgres"
    async with open_database(DatabaseSettings(url=url, pool_timeout=0.5)) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.ping()
        await asyncio.to_thread(server.start)
        try:
            await database.ping()
        finally:
            server.stop()


async def test_calls_to_a_hung_postgres_end_and_it_serves_again_when_woken(server):
    async with open_database(settings_of(server)) as database:
        reader = database.reader(TENANT)
        await asyncio.gather(*(reader.fetch_one(READ) for _ in range(3)))
        with hung(server):
            async with asyncio.timeout(10):
                calls = (reader.fetch_one(READ) for _ in range(6))
                results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, DatabaseTimeout | DatabaseUnavailable) for one in results)
        await until_served(reader)


async def test_a_transaction_on_a_hung_postgres_ends(server):
    async with open_database(settings_of(server)) as database:

        async def read_twice() -> None:
            async with database.tenant(TENANT) as session:
                await session.fetch_one(READ)
                with hung(server):
                    await session.fetch_one(READ)

        async with asyncio.timeout(10):
            with pytest.raises((DatabaseTimeout, DatabaseUnavailable)):
                await read_twice()


@pytest.mark.parametrize("cancellations", [1, 2])
async def test_a_call_cancelled_on_a_hung_postgres_ends_long_before_its_limit(server, cancellations):
    async with open_database(settings_of(server, statement_timeout=60)) as database:
        reader = database.reader(TENANT)
        await reader.fetch_one(READ)
        with hung(server):
            async with asyncio.timeout(10):
                call = asyncio.create_task(reader.fetch_one(READ))
                for _ in range(cancellations):
                    await asyncio.sleep(0.05)
                    call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
        await until_served(reader)


async def test_an_administrators_disconnect_is_unavailable_and_the_next_call_works(server):
    end = """
    select count(pg_terminate_backend(pid)) as n from pg_stat_activity
    where query like 'select pg_sleep(30)%%' and pid <> pg_backend_pid()
    """
    async with open_database(settings_of(server, statement_timeout=20)) as database:
        reader = database.reader(TENANT)
        slow = asyncio.create_task(reader.fetch_one("select pg_sleep(30), %(tenant)s::uuid"))

        async def disconnected() -> bool:
            return (await database.system(end))[0]["n"] > 0

        await until(disconnected)
        with pytest.raises(DatabaseUnavailable):
            await slow

        assert await reader.fetch_one(READ)


async def until_served(reader: Reader) -> None:
    async def serves() -> bool:
        try:
            return await reader.fetch_one(READ) is not None
        except DatabaseError:
            return False

    await until(serves)
