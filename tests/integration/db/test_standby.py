"""A server that has become a standby: reads go on, and a write is told to come back, not that it is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from sba_db import DatabaseSettings, DatabaseUnavailable, TenantSession, open_database
from sba_local.ports import free_port
from sba_local.postgres import EmbeddedPostgres
from tests.integration.db.conftest import until

TENANT = "00000000-0000-0000-0000-0000000000aa"
WRITE = "insert into written values (%(tenant)s::uuid)"
READ = "select %(tenant)s::uuid as tenant"


@pytest.fixture
def standby(tmp_path: Path):
    with EmbeddedPostgres(tmp_path / "pg", port=free_port()) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            (cluster,) = connection.execute("show data_directory").fetchone()
            connection.execute("create table written (tenant uuid)")
        server.stop()
        (Path(cluster) / "standby.signal").touch()
        server.start()
        yield server


async def write(session: TenantSession) -> None:
    await session.execute(WRITE)


@pytest.mark.parametrize("pooler", [False, True])
async def test_a_standby_serves_reads_and_takes_writes_once_it_is_promoted(standby, pooler):
    settings = DatabaseSettings(url=standby.url(), pooler=pooler, attempts=2)
    async with open_database(settings) as database:
        assert await database.reader(TENANT).fetch_one(READ)
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable, match="standby") as refused:
                await database.run(TENANT, write)
            assert not refused.value.in_doubt
            assert refused.value.retry_after > 0
        assert await database.reader(TENANT).fetch_one(READ)

        await asyncio.to_thread(promote, standby.url())
        await until(lambda: written(database))


async def written(database) -> bool:
    try:
        await database.run(TENANT, write)
    except DatabaseUnavailable:
        return False
    return True


def promote(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_promote()")


async def test_a_connection_to_a_standby_is_not_kept(standby):
    async with open_database(DatabaseSettings(url=standby.url(), pooler=True, max_size=1)) as database:
        before = await database.system("select pg_backend_pid() as pid")
        with pytest.raises(DatabaseUnavailable):
            await database.system("create table x ()", write=True)
        after = await database.system("select pg_backend_pid() as pid")

    assert before != after
