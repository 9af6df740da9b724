"""One time limit for everything a command needs."""

from __future__ import annotations

import asyncio

import pytest

from sba_resilience.redis import RedisCommandError, RedisUnavailable, Script
from sba_resilience.redis.patience import answered, finished
from sba_resilience.redis.words import Reply, Word


class Forgetful:
    """A server without scripts."""

    def __init__(self) -> None:
        self.since: list[float | None] = []

    async def run(self, words: tuple[Word, ...], *, since: float | None = None) -> Reply:
        self.since.append(since)
        if words[0] == "EVALSHA":
            raise RedisCommandError("NOSCRIPT", "")
        return 1


async def test_a_script_that_is_sent_again_keeps_to_the_first_time_limit() -> None:
    redis = Forgetful()
    began = asyncio.get_running_loop().time()
    assert await Script(redis, "return 1")([]) == 1
    first, second = redis.since
    assert first is None
    assert second is not None
    assert began <= second <= asyncio.get_running_loop().time()


async def test_a_reply_that_is_late_is_abandoned_and_its_error_is_nobodys() -> None:
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    with pytest.raises(RedisUnavailable, match="timeout"):
        await answered(reply, asyncio.get_running_loop().time())
    assert reply.cancelled()


async def test_what_is_not_finished_in_time_goes_on() -> None:
    work: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    assert not await finished(work, 0.0, grace=0.0)
    assert not work.done()
    work.set_result(1)
    assert await finished(work, 0.0, grace=0.0)
