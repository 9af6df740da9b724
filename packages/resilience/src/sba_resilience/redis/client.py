"""The one Redis client, whatever it talks to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from sba_resilience.errors import RedisUnavailable
from sba_resilience.redis.cluster import ClusterClient
from sba_resilience.redis.places import Places
from sba_resilience.redis.probe import Capabilities
from sba_resilience.redis.script import Script
from sba_resilience.redis.sentinel import SentinelDialer
from sba_resilience.redis.server import ServerClient
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.streams import StreamReader
from sba_resilience.redis.watch import KeyWatch
from sba_resilience.redis.words import Reply, Word


class RedisClient(Protocol):
    """Commands with a hard time limit; made by `open_redis`, and closed with it."""

    @property
    def address(self) -> str:
        """Where the server is; no credentials."""

    @property
    def state(self) -> str:
        """The breaker's state: `closed`, `open` or `half_open`."""

    @property
    def server_id(self) -> str | None:
        """Which server process commands go to; None until it is known.

        It changes when the next connection for commands finds that the server was restarted or that
        another one answers, and is the last known one in between. On a cluster it is all primaries'.
        """

    @property
    def command_timeout(self) -> float:
        """Seconds within which every command answers."""

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
            UnshareableCommand: It would upset everyone else on the connection; it was not sent.
            WrongEventLoop: The client was opened in another one.
        """

    def send(self, *args: Word) -> asyncio.Future[Reply]:
        """Send one command now, for several callers at once: the current deadline does not count.

        Args:
            *args: Its words, as of `execute`.

        Returns:
            What `execute` gives or raises, when it comes.

        Raises:
            UnshareableCommand: It would upset everyone else on the connection; it was not sent.
            WrongEventLoop: The client was opened in another one.
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

    def watch(self, prefix: str, changed: Callable[[str], None]) -> KeyWatch:
        """Hear of every change to keys that begin with `prefix`; connects in the background.

        Args:
            prefix: What the keys begin with.
            changed: Called in the event loop with each key that anyone wrote or deleted, or that expired
                or was evicted; it must not block. The watch ends with the object whose method this is.
        """

    def server_time(self) -> float | None:
        """The server's unix seconds, or None until they are known; waits for nothing."""

    async def probe(self) -> Capabilities:
        """Find out which of the commands in use the server lacks or forbids; logged when it is news.

        Raises:
            RedisUnavailable: The server cannot answer now, or every connection is taken.
        """


@contextlib.asynccontextmanager
async def open_redis(
    settings: RedisSettings, *, probe: bool = False, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[RedisClient]:
    """A client for the time of the block.

    A server that is away is no error: the client connects when it comes.

    Args:
        settings: Where and how long.
        probe: Find out first, and log, which of the commands in use the server lacks; for services.
        clock: Monotonic seconds, for the breaker.

    Raises:
        ValueError: The URL is not a Redis URL.
    """
    client = _client(settings, clock)
    try:
        await client.warm_up()
        if probe:
            with contextlib.suppress(RedisUnavailable):
                await client.probe()
        yield client
    finally:
        await client.aclose()


def _client(settings: RedisSettings, clock: Callable[[], float]) -> ServerClient | ClusterClient:
    kind = Places.of(settings.url).kind
    if kind == "cluster":
        return ClusterClient(settings, clock=clock)
    dialer = SentinelDialer(settings, clock=clock) if kind == "sentinel" else None
    return ServerClient(settings, clock=clock, dialer=dialer)
