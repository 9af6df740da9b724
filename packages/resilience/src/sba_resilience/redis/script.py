"""Lua scripts: called by hash, sent again when the server has forgotten them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from typing import Protocol

from sba_resilience.errors import RedisCommandError
from sba_resilience.redis.words import Reply, Word


class Executor(Protocol):
    """What runs a command of anyone's."""

    async def execute(self, *args: Word) -> Reply:
        """Run one command and give its reply."""


class Runner(Protocol):
    """What runs a command that is known to suit a shared connection."""

    def run(self, words: tuple[Word, ...], *, since: float | None = None) -> Awaitable[Reply]:
        """Run one command and give its reply.

        Args:
            words: The command.
            since: When its time limit began, in seconds of the event loop; now by default.
        """


class Script:
    """One script of one client; cheap to call, safe to call before the server knows it.

    Args:
        redis: Runs the commands.
        text: The Lua source.
    """

    __slots__ = ("_redis", "_sha", "_text")

    def __init__(self, redis: Runner, text: str) -> None:
        self._redis = redis
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[Word] = ()) -> Reply:
        """Run it.

        Args:
            keys: KEYS, of one hash slot on a cluster.
            args: ARGV.

        Returns:
            What the script returns.

        Raises:
            RedisUnavailable: No usable answer within the time limit, sending it again included.
            RedisCommandError: The script failed.
            DeadlineExceeded: The current deadline passed first.
        """
        began = asyncio.get_running_loop().time()
        try:
            return await self._redis.run(("EVALSHA", self._sha, len(keys), *keys, *args))
        except RedisCommandError as error:
            if error.code != "NOSCRIPT":
                raise
        return await self._redis.run(("EVAL", self._text, len(keys), *keys, *args), since=began)
