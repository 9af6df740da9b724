"""The one Redis client, whatever it talks to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from sba_resilience.redis.script import Script
from sba_resilience.redis.server import ServerClient
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.streams import StreamReader
from sba_resilience.redis.words import Reply, Word


class RedisClient(Protocol):
    """Commands with a hard time limit; made by `open_redis`, and closed with it."""

    @property
    def address(self) -> str:
        """Where the server is; no credentials."""

    @property
    def state(self) -> str:
        """The breaker's state: `closed`, `open` or `half_open`."""

    async def execute(self, *args: Word) -> Reply:
        """Run one command.

        Args:
            *args: Its words; text is sent as UTF-8.

        Returns:
            The RESP2 reply: bytes, int, None or a list of these.

        Raises:
            RedisUnavailable: No usable answer within the time limit; the command may have run.
            RedisCommandError: The server refused the command.
            DeadlineExceeded: The current deadline passed first.
        """

    async def ping(self) -> None:
        """See that the server answers.

        Raises:
            RedisUnavailable: It does not.
        """

    def script(self, text: str) -> Script:
        """A Lua script that is sent once and called by its hash."""

    def stream_reader(self, *, block: float = 2.0) -> StreamReader:
        """A reader of streams on a connection of its own.

        Args:
            block: Seconds one blocking read may last.
        """


@contextlib.asynccontextmanager
async def open_redis(
    settings: RedisSettings, *, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[RedisClient]:
    """A client for the time of the block.

    A server that is away is no error: the client connects when it comes.

    Args:
        settings: Where and how long.
        clock: Monotonic seconds, for the breaker.

    Raises:
        ValueError: The URL is not a Redis URL.
    """
    client = ServerClient(settings, clock=clock)
    try:
        await client.warm_up()
        yield client
    finally:
        await client.aclose()
