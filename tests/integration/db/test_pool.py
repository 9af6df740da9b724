"""The pool hands connections out in order, loses none, and replaces the dead."""

from __future__ import annotations

import asyncio
import random

import pytest

from sba_db import DatabaseSettings, DatabaseUnavailable, PoolExhausted, open_database
from sba_db.connection import Connector
from sba_db.pool import Pool
from tests.integration.db.conftest import until, until_waiting

NOWHERE = "postgresql://nobody@127.0.0.1:9/none"


def pool_on(url: str, *, min_size: int = 0, max_size: int = 2, timeout: float = 5.0) -> Pool:
    return Pool(Connector(DatabaseSettings(url=url)), min_size=min_size, max_size=max_size, timeout=timeout)


@pytest.fixture
async def pool(database_urls):
    pool = pool_on(database_urls.app)
    yield pool
    await pool.close()


async def test_a_connection_given_back_is_handed_out_again(pool):
    first = await pool.acquire()
    pool.release(first)

    again = await pool.acquire()
    pool.release(again)
    assert again is first
    assert pool.size == 1


async def test_no_more_than_the_most_are_opened_and_a_late_caller_is_told_so(database_urls):
    pool = pool_on(database_urls.app, timeout=30)
    taken = [await pool.acquire(), await pool.acquire()]

    pool._timeout = 0.05
    with pytest.raises(PoolExhausted) as late:
        await pool.acquire()

    assert late.value.retry_after > 0
    assert (pool.size, pool.waiting) == (2, 0)
    for connection in taken:
        pool.release(connection)
    assert pool.idle == 2
    await pool.close()


async def test_who_waits_longest_is_served_first(pool):
    taken = [await pool.acquire(), await pool.acquire()]
    order: list[int] = []

    async def wait(turn: int) -> None:
        connection = await pool.acquire()
        order.append(turn)
        pool.release(connection)

    tasks = [asyncio.create_task(wait(turn)) for turn in range(5)]
    await until_waiting(pool, 5)
    for connection in taken:
        pool.release(connection)
    await asyncio.gather(*tasks)

    assert order == [0, 1, 2, 3, 4]


async def test_a_refused_connection_fails_its_caller_at_once():
    pool = pool_on(NOWHERE, timeout=60.0)

    async with asyncio.timeout(10):
        results = await asyncio.gather(*(pool.acquire() for _ in range(9)), return_exceptions=True)

    assert {type(one) for one in results} == {DatabaseUnavailable}
    assert pool.size == 0
    await pool.close()


async def test_a_dead_idle_connection_is_noticed_before_it_is_handed_out(pool, superuser):
    connection = await pool.acquire()
    pid = connection.info.backend_pid
    pool.release(connection)
    superuser.execute("select pg_terminate_backend(%s, 5000)", (pid,))

    replacement = await pool.acquire()

    pool.release(replacement)
    assert replacement.info.backend_pid != pid
    assert pool.size == 1


async def test_a_connection_with_an_open_transaction_is_not_reused(pool):
    connection = await pool.acquire()
    await connection.execute("begin")
    pool.release(connection)

    assert connection.closed
    assert (pool.size, pool.idle) == (0, 0)


async def test_a_connection_past_its_lifetime_is_not_reused(pool):
    connection = await pool.acquire()
    connection.expires_at = 0.0
    pool.release(connection)

    assert connection.closed
    assert pool.size == 0


async def test_a_dropped_connection_makes_room_for_who_waits(pool):
    taken = [await pool.acquire(), await pool.acquire()]
    waiting = asyncio.create_task(pool.acquire())
    await until_waiting(pool)
    taken[0].pgconn.finish()
    pool.release(taken[0])

    replacement = await waiting
    pool.release(replacement)
    pool.release(taken[1])
    assert replacement.alive()
    assert pool.size == 2


async def test_connections_unused_for_long_are_closed_down_to_the_least(pool):
    taken = [await pool.acquire(), await pool.acquire()]
    pool.release(taken[0])
    taken[0].idle_since = float("-inf")
    pool.release(taken[1])

    assert taken[0].closed
    assert (pool.size, pool.idle) == (1, 1)


async def test_cancelled_callers_lose_no_connection(pool):
    chance = random.Random(7)

    async def use() -> None:
        connection = await pool.acquire()
        try:
            await asyncio.sleep(0)
        finally:
            pool.release(connection)

    for _ in range(300):
        tasks = [asyncio.create_task(use()) for _ in range(6)]
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        for task in chance.sample(tasks, 3):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    taken = [await pool.acquire(), await pool.acquire()]
    assert pool.size == 2
    for connection in taken:
        pool.release(connection)


async def test_a_caller_cancelled_in_the_turn_it_is_served_gives_the_connection_on(pool):
    taken = [await pool.acquire(), await pool.acquire()]
    waiting = asyncio.create_task(pool.acquire())
    await until_waiting(pool)
    pool.release(taken[0])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert (pool.size, pool.idle) == (2, 1)
    pool.release(taken[1])


async def test_closing_fails_who_waits_and_closes_what_comes_back(pool):
    taken = [await pool.acquire(), await pool.acquire()]
    waiting = asyncio.create_task(pool.acquire())
    await until_waiting(pool)
    await pool.close()

    with pytest.raises(DatabaseUnavailable, match="closed"):
        await waiting
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await pool.acquire()
    for connection in taken:
        pool.release(connection)
    assert all(connection.closed for connection in taken)
    assert pool.size == 0


async def test_closing_while_connecting_leaves_nothing_open(database_urls):
    pool = pool_on(database_urls.app, min_size=2)
    pool.open()
    await pool.close()

    assert pool.size == 0


async def test_opening_connects_the_least_in_the_background(database_urls):
    pool = pool_on(database_urls.app, min_size=2)
    pool.open()

    async def both_are_idle() -> bool:
        return pool.idle == 2

    await until(both_are_idle)

    assert pool.size == 2
    await pool.close()


async def test_three_hundred_callers_share_ten_connections(database_urls, a):
    async with open_database(DatabaseSettings(url=database_urls.app, pool_timeout=30)) as database:
        reader = database.reader(a.id)
        rows = await asyncio.gather(*(reader.fetch_one("select %(tenant)s::uuid as t") for _ in range(300)))

    assert {row["t"] for row in rows} == {a.id}
