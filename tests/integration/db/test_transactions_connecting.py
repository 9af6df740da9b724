"""Connections to a server that is away: one attempt at a time, with growing pauses, and nobody queues up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from sba_db import (
    Database,
    DatabaseSettings,
    DatabaseUnavailable,
    PoolExhausted,
    UnsafeRole,
    agent_runs,
    new_id,
    open_database,
)
from sba_db.connection import Connector
from sba_db.pool import FIRST_PAUSE, LONGEST_PAUSE, Pool
from sba_local.ports import free_port
from sba_local.postgres import EmbeddedPostgres
from sba_resilience import Breaker, State
from sba_resilience.testing import FakeClock
from tests.integration.db.conftest import until, until_waiting


class Server:
    """Makes connections, or refuses or holds them, as the test says."""

    def __init__(self, url: str) -> None:
        self._connect = Connector(DatabaseSettings(url=url))
        self.away = False
        self.says = "connection refused"
        self.go = asyncio.Event()
        self.go.set()
        self.attempts = 0

    async def __call__(self):
        self.attempts += 1
        await self.go.wait()
        if self.away:
            raise psycopg.OperationalError(self.says)
        return await self._connect()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(database_urls) -> Server:
    return Server(database_urls.app)


@pytest.fixture
async def pool(server, clock):
    breaker = Breaker(
        "test", window=1, minimum_calls=1, open_for=1.0, open_growth=2.0, open_cap=4.0, clock=clock
    )
    pool = Pool(server, min_size=0, max_size=3, timeout=5.0, breaker=breaker)
    yield pool
    await pool.close()


async def refused(pool: Pool) -> DatabaseUnavailable:
    with pytest.raises(DatabaseUnavailable) as raised:
        await pool.acquire()
    assert not isinstance(raised.value, PoolExhausted)
    return raised.value


async def test_while_the_server_is_away_callers_are_told_at_once_and_no_attempt_is_made(pool, server):
    server.away = True
    await refused(pool)
    for _ in range(50):
        assert 0 < (await refused(pool)).retry_after <= 1.0

    assert server.attempts == 1
    assert (pool.size, pool.waiting) == (0, 0)


async def test_who_is_told_so_is_told_why_for_as_long_as_that_is_so(pool, server, clock):
    server.away = True
    server.says = 'connection to "hunter2" failed: FATAL:  password authentication failed for user "hunter2"'
    assert [str(await refused(pool)) for _ in range(3)] == ["Postgres refused the login"] * 3
    clock.advance(1.0)
    server.away = False
    connection = await pool.acquire()
    assert str(pool._away()) == "Postgres is not reachable"

    server.go.clear()
    waiting = asyncio.create_task(pool.acquire())
    await until_waiting(pool)
    connection.pgconn.finish()
    pool.release(connection)
    server.away, server.says = True, "gone"
    server.go.set()
    with pytest.raises(DatabaseUnavailable, match="Postgres is not reachable"):
        await waiting


async def test_the_pauses_grow_up_to_their_limit(pool, server, clock):
    server.away = True
    pauses = []
    for _ in range(5):
        pauses.append((await refused(pool)).retry_after)
        clock.advance(pauses[-1])

    assert pauses == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert server.attempts == 5


async def test_after_a_pause_one_caller_tries_and_the_others_wait_for_the_outcome(pool, server, clock):
    server.away = True
    await refused(pool)
    clock.advance(1.0)
    server.go.clear()
    callers = [asyncio.create_task(pool.acquire()) for _ in range(6)]
    await until_waiting(pool, 6)
    assert server.attempts == 2

    server.go.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(one) for one in results} == {DatabaseUnavailable}
    assert server.attempts == 2


async def test_once_an_attempt_succeeds_everyone_is_served_and_the_pauses_are_short_again(
    pool, server, clock
):
    server.away = True
    for _ in range(3):
        clock.advance((await refused(pool)).retry_after)
    server.away = False
    callers = [asyncio.create_task(pool.acquire()) for _ in range(3)]
    connections = await asyncio.gather(*callers)
    assert pool.size == 3

    for connection in connections:
        connection.pgconn.finish()
        pool.release(connection)
    server.away = True
    assert (await refused(pool)).retry_after == 1.0


async def test_a_probe_that_hangs_keeps_its_callers_only_briefly(pool, server, clock):
    server.away = True
    await refused(pool)
    clock.advance(1.0)
    server.go.clear()

    async with asyncio.timeout(4.0):
        await refused(pool)
    server.go.set()


async def test_connections_that_stand_serve_while_new_ones_are_refused(pool, server):
    """Too many connections elsewhere: what this process has goes round, nobody is sent away."""
    mine = await pool.acquire()
    server.away = True
    waiting = [asyncio.create_task(pool.acquire()) for _ in range(4)]
    await until_waiting(pool, 4)
    assert not any(task.done() for task in waiting)
    pool.release(mine)
    for task in waiting:
        connection = await task
        assert connection is mine
        pool.release(connection)

    assert server.attempts <= 3


async def test_when_the_last_connection_dies_and_the_server_is_away_who_waits_is_told(pool, server):
    mine = await pool.acquire()
    server.away = True
    waiting = asyncio.create_task(pool.acquire())

    async def a_second_one_was_refused() -> bool:
        return pool._breaker.state is State.OPEN

    await until(a_second_one_was_refused)
    assert not waiting.done()
    mine.pgconn.finish()
    pool.release(mine)

    async with asyncio.timeout(4.0):
        with pytest.raises(DatabaseUnavailable):
            await waiting
    assert pool.size == 0


async def test_statements_that_fail_or_hang_do_not_close_the_door_for_others(database_urls, a, b):
    """One tenant's queries run into their limit again and again; the breaker has no say in that."""
    settings = DatabaseSettings(url=database_urls.app, max_size=4, statement_timeout=0.05, grace=0.05)
    async with open_database(settings) as database:

        async def misbehave() -> None:
            await database.reader(a.id).fetch_all("select pg_sleep(30), %(tenant)s::uuid")

        await asyncio.gather(*(misbehave() for _ in range(20)), return_exceptions=True)
        assert await agent_runs.get_run(database.reader(b.id), new_id()) is None
        assert database._pool._breaker.state is State.CLOSED


async def test_ready_waits_for_a_server_that_starts_late(tmp_path: Path):
    port = free_port()
    late = EmbeddedPostgres(tmp_path / "pg", port=port, password="pw")
    url = f"postgresql://postgres:pw@127.0.0.1:{port}/postgres"

    async def served(database: Database) -> None:
        with pytest.raises(UnsafeRole):
            await database.ready(within=60.0)

    async with open_database(DatabaseSettings(url=url)) as database:
        waiting = asyncio.create_task(served(database))

        async def it_was_refused() -> bool:
            return database._pool._breaker.state is not State.CLOSED

        await until(it_was_refused)
        await asyncio.to_thread(late.start)
        try:
            await waiting
        finally:
            late.stop()


async def test_ready_gives_up_in_time():
    async with open_database(DatabaseSettings(url="postgresql://nobody@127.0.0.1:9/none")) as database:
        async with asyncio.timeout(20):
            with pytest.raises(DatabaseUnavailable):
                await database.ready(within=0.3)


async def test_ready_accepts_the_applications_login(database):
    await database.ready(within=30.0)


def test_the_pauses_in_use_are_short_enough_to_notice_a_server_that_is_back():
    assert 0 < FIRST_PAUSE < LONGEST_PAUSE <= 2.0
