"""Waiting up to a point in time that a stalled event loop moves."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sba_resilience.errors import RedisUnavailable
from sba_resilience.redis.lane import DRAIN, GRACE, LATE
from sba_resilience.redis.words import Reply

MOMENT: Final = 0.005  # seconds for a command that could be sent only at the end of its time


async def finished(work: asyncio.Future[Any], until: float, *, grace: float) -> bool:
    """Whether something ends in time; it goes on if not.

    Args:
        work: What to wait for.
        until: When to give up, in seconds of the event loop.
        grace: Seconds more when the event loop was stalled at that time.
    """
    loop = asyncio.get_running_loop()
    until = max(until, loop.time())
    done, _ = await asyncio.wait({work}, timeout=until - loop.time())
    if not done:
        stalled = loop.time() - until > LATE
        done, _ = await asyncio.wait({work}, timeout=grace if stalled else DRAIN)
    return bool(done)


async def answered(reply: asyncio.Future[Reply], until: float) -> Reply:
    """A reply, if it comes in time; nobody hears of it later.

    Args:
        reply: What was sent gives.
        until: When to give up, in seconds of the event loop, but no sooner than in a `MOMENT`.

    Raises:
        RedisUnavailable: It came too late, or not at all.
        RedisCommandError: It is an error.
    """
    until = max(until, asyncio.get_running_loop().time() + MOMENT)
    try:
        if not await finished(reply, until, grace=GRACE):
            raise RedisUnavailable("timeout")
        return reply.result()
    finally:
        reply.cancel()
        if not reply.cancelled():
            reply.exception()
