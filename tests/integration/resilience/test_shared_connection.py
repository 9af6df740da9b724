"""What one caller may not do to the others on the connection they share."""

from __future__ import annotations

import asyncio
import gc
import os
import threading

import pytest

from sba_resilience import Deadline, DeadlineExceeded
from sba_resilience.redis import (
    RedisClient,
    RedisSettings,
    RedisUnavailable,
    UnshareableCommand,
    WrongEventLoop,
    open_redis,
)
from tests.integration.resilience.faults import Server, eventually, works

ODD = [
    (),
    ("MULTI",),
    (b"select", 5),
    ("subscribe", "x"),
    ("CLIENT", b"reply", "OFF"),
    ("Script", "Debug", "YES"),
    ("HELLO", 3),
    ("BLPOP", "nothing", 1),
    ("XREAD", "COUNT", 1, "BLOCK", 0, "STREAMS", "s", "$"),
    ("WAIT", 1, 0),
]


@pytest.mark.parametrize("words", ODD, ids=str)
async def test_a_command_that_would_upset_others_is_refused(redis: RedisClient, words: tuple[str]) -> None:
    await redis.execute("SET", "mine", "1")
    with pytest.raises(UnshareableCommand):
        await redis.execute(*words)
    assert await redis.execute("GET", "mine") == b"1"


async def test_an_expired_deadline_sends_nothing_and_logs_nothing(redis: RedisClient) -> None:
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["message"]))
    await redis.execute("SET", "text", "x")
    with Deadline.after(-1.0).scope(), pytest.raises(DeadlineExceeded):
        await redis.execute("LPUSH", "text", "y")
    with Deadline.after(-1.0).scope(), pytest.raises(DeadlineExceeded):
        await redis.execute("SET", "late", "1")
    assert await redis.execute("GET", "late") is None
    gc.collect()
    assert said == []


async def test_a_forked_child_is_refused_and_disturbs_nobody(redis: RedisClient) -> None:
    await redis.execute("SET", "parent", "P")
    child = os.fork()
    if child == 0:
        os._exit(_of_child(redis))
    answers = {await redis.execute("GET", "parent") for _ in range(200)}
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert answers == {b"P"}
    assert await redis.execute("GET", "parent") == b"P"


def _of_child(redis: RedisClient) -> int:
    asyncio.events._set_running_loop(None)
    try:
        asyncio.run(redis.execute("SET", "parent", "CHILD"))
    except RedisUnavailable as error:
        return 0 if error.reason == "closed" and "forked" in str(error) else 2
    except BaseException:  # noqa: BLE001 - the child may not go on with the test
        return 3
    return 4


async def test_another_event_loop_is_told_so(redis: RedisClient) -> None:
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(redis.execute("PING"))
        except WrongEventLoop as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(caught) == 1
    assert await redis.execute("ECHO", "mine") == b"mine"


async def test_the_server_is_known_by_name_and_another_after_its_restart(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        before = redis.server_id
        assert before is not None
        server.kill()
        server.start()
        await eventually(lambda: works(redis))
        assert redis.server_id not in (before, None)


class Owner:
    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    def changed(self, key: str) -> None:
        self.heard.append(key)


async def test_a_watch_ends_with_the_object_it_tells(redis: RedisClient) -> None:
    heard: list[str] = []
    owner = Owner(heard)
    watched = redis.watch("w:", owner.changed)
    await watched.ready()
    await redis.execute("SET", "w:1", "1")
    await eventually(lambda: heard == ["w:1"])
    del owner
    gc.collect()
    await asyncio.sleep(0)
    with pytest.raises(RedisUnavailable, match="closed"):
        await watched.ready()


async def test_a_client_of_one_connection_says_that_it_cannot_watch(redis_url: str) -> None:
    async with open_redis(RedisSettings(redis_url, max_connections=1)) as redis:
        with pytest.raises(RedisUnavailable, match="busy"):
            await redis.watch("w:", print).ready()
