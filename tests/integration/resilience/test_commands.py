"""Commands, batches and replies on a healthy server."""

from __future__ import annotations

import asyncio

import pytest

from sba_resilience import Deadline, DeadlineExceeded
from sba_resilience.redis import (
    RedisClient,
    RedisCommandError,
    RedisSettings,
    RedisUnavailable,
    UnshareableCommand,
    open_redis,
)
from sba_resilience.redis.lane import SLICE
from tests.integration.resilience.faults import Server, eventually


async def commands_served(redis: RedisClient) -> int:
    info = (await redis.execute("INFO", "stats")).decode()
    return int(info.split("total_reads_processed:")[1].split()[0])


async def test_a_reply_is_raw(redis: RedisClient) -> None:
    await redis.execute("SET", "word", "é")
    await redis.execute("RPUSH", "list", 1, 2.5, b"\x00")
    assert await redis.execute("GET", "word") == "é".encode()
    assert await redis.execute("LRANGE", "list", 0, -1) == [b"1", b"2.5", b"\x00"]
    assert await redis.execute("GET", "absent") is None
    assert await redis.execute("INCR", "count") == 1


async def test_every_one_of_many_concurrent_callers_gets_its_own_reply(redis: RedisClient) -> None:
    await asyncio.gather(*(redis.execute("SET", f"k{n}", n) for n in range(500)))
    replies = await asyncio.gather(*(redis.execute("GET", f"k{n}") for n in range(500)))
    assert replies == [str(n).encode() for n in range(500)]


async def test_commands_of_one_turn_run_in_the_order_they_were_issued(redis: RedisClient) -> None:
    await asyncio.gather(*(redis.execute("RPUSH", "order", n) for n in range(200)))
    assert await redis.execute("LRANGE", "order", 0, -1) == [str(n).encode() for n in range(200)]


async def test_commands_of_one_turn_leave_in_a_few_writes(redis: RedisClient) -> None:
    async def crowd() -> None:
        await asyncio.gather(*(redis.execute("PING") for _ in range(50)))

    await crowd()
    before = await commands_served(redis)
    await crowd()
    assert await commands_served(redis) - before <= 50 / SLICE + 3


async def test_one_connection_carries_every_caller(redis: RedisClient) -> None:
    await asyncio.gather(*(redis.execute("PING") for _ in range(300)))
    clients = (await redis.execute("CLIENT", "LIST", "TYPE", "normal")).decode().splitlines()
    me = await redis.execute("CLIENT", "ID")
    assert [line for line in clients if "name=sba " in line and f"id={me} " not in line] == []


async def test_300_callers_on_default_settings_see_no_error(redis_url: str) -> None:
    async with open_redis(RedisSettings(redis_url)) as redis:

        async def caller(n: int) -> None:
            for _ in range(5):
                await redis.execute("INCRBY", "total", 1)
                assert await redis.execute("ECHO", n) == str(n).encode()

        await asyncio.gather(*(caller(n) for n in range(300)))
        assert await redis.execute("GET", "total") == b"1500"
        assert redis.state == "closed"


async def test_an_error_reply_goes_to_its_caller_alone(redis: RedisClient) -> None:
    await redis.execute("SET", "text", "x")
    wrong, right = await asyncio.gather(
        redis.execute("LPUSH", "text", "y"), redis.execute("GET", "text"), return_exceptions=True
    )
    assert isinstance(wrong, RedisCommandError)
    assert wrong.code == "WRONGTYPE"
    assert right == b"x"
    assert redis.state == "closed"


async def test_an_error_never_echoes_arguments(redis: RedisClient) -> None:
    with pytest.raises(RedisCommandError) as caught:
        await redis.execute("NO-SUCH-COMMAND", "hunter2")
    assert "hunter2" not in str(caught.value)


async def test_a_word_of_another_type_is_refused_before_anything_is_sent(redis: RedisClient) -> None:
    with pytest.raises(TypeError):
        await redis.execute("SET", "k", None)  # type: ignore[arg-type]  # what the test is about
    await redis.ping()


async def test_a_cancelled_caller_never_shifts_the_replies_of_others(redis: RedisClient) -> None:
    for round_ in range(30):
        tasks = [asyncio.ensure_future(redis.execute("ECHO", f"{round_}-{n}")) for n in range(40)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        for n, reply in enumerate(replies):
            assert isinstance(reply, asyncio.CancelledError) or reply == f"{round_}-{n}".encode()
    assert await redis.execute("ECHO", "still mine") == b"still mine"


async def test_a_deadline_shorter_than_the_time_limit_is_kept(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=5.0)) as redis:
        with server.frozen(), Deadline.after(0.02).scope(), pytest.raises(DeadlineExceeded):
            await redis.execute("ECHO", "late")
        assert await redis.execute("ECHO", "mine") == b"mine"


async def test_a_deadline_longer_than_the_time_limit_changes_nothing(redis: RedisClient) -> None:
    async with Deadline.after(30):
        assert await redis.execute("ECHO", "x") == b"x"


async def test_a_script_survives_a_flush(redis: RedisClient) -> None:
    add = redis.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await add(keys=["sum"], args=[2]) == 2
    await redis.execute("SCRIPT", "FLUSH")
    assert await add(keys=["sum"], args=[3]) == 5
    assert await asyncio.gather(*(add(keys=["sum"], args=[1]) for _ in range(3))) == [6, 7, 8]


async def test_a_script_error_is_a_command_error(redis: RedisClient) -> None:
    with pytest.raises(RedisCommandError, match="nope"):
        await redis.script("return redis.error_reply('ERR nope')")(keys=[])


async def test_a_closed_client_says_so(redis_url: str) -> None:
    async with open_redis(RedisSettings(redis_url)) as redis:
        await redis.ping()
    with pytest.raises(RedisUnavailable) as caught:
        await redis.ping()
    assert caught.value.reason == "closed"


async def test_a_large_reply_arrives_whole(redis: RedisClient) -> None:
    value = b"x" * 3_000_000
    await redis.execute("SET", "large", value)
    assert await redis.execute("GET", "large") == value


async def test_a_database_in_the_url_is_selected(redis_url: str) -> None:
    async with open_redis(RedisSettings(redis_url.rsplit("/", 1)[0] + "/3")) as redis:
        info = (await redis.execute("CLIENT", "INFO")).decode()
        assert " db=3 " in info
        assert redis.address.endswith("/3")


async def test_a_command_sent_ahead_answers_later_whatever_the_callers_deadline(redis: RedisClient) -> None:
    async with Deadline.after(5.0) as deadline:
        replies = [redis.send("INCR", "n") for _ in range(3)]
        assert deadline.remaining() > 0
    assert [await reply for reply in replies] == [1, 2, 3]


async def test_a_command_sent_before_there_is_a_connection_waits_for_it(server: Server) -> None:
    server.kill()
    async with open_redis(RedisSettings(server.url)) as redis:
        with pytest.raises(RedisUnavailable):
            await redis.send("PING")
        server.start()
        await eventually(lambda: redis.state == "closed")
        assert await redis.send("PING") == b"PONG"
        assert redis.command_timeout == RedisSettings(server.url).command_timeout


async def test_a_command_that_cannot_be_shared_is_not_sent_ahead(redis: RedisClient) -> None:
    with pytest.raises(UnshareableCommand):
        redis.send("MULTI")
