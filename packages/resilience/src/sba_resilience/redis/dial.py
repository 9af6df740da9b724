"""Open a connection with redis-py (URL, TLS, ACL, database), then hand its socket on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from sba_resilience.errors import RedisUnavailable
from sba_resilience.redis.clock import Sample
from sba_resilience.redis.places import WRONG_URL
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.words import Reply, Word

REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (AuthenticationError, "authentication"),
    (AuthorizationError, "authentication"),
    (NoPermissionError, "authentication"),
    (BusyLoadingError, "not_ready"),
    (TimeoutError, "timeout"),
)


@dataclass(frozen=True, slots=True)
class Greeted:
    """A connection nobody else reads from, and what its server said of itself.

    Attributes:
        writer: The connected stream.
        server: An identifier that changes when the server restarts or is another; None if it keeps it secret.
        time: Its clock; None if it keeps that secret.
    """

    writer: asyncio.StreamWriter
    server: str | None
    time: Sample | None


class Dialer:
    """Makes connections that are authenticated and have answered a PING.

    Args:
        settings: Where, as whom, and how long.
        clock: Monotonic seconds, to tell the server's time by.

    Raises:
        ValueError: The URL is not one redis-py understands; the message never holds the URL.
    """

    __slots__ = ("_clock", "_connection", "_name", "_options", "_timeout", "address")

    def __init__(self, settings: RedisSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        options = _parse(settings.url)
        connection: type[AbstractConnection] = options.pop("connection_class", Connection)
        self._connection = connection
        self._timeout = settings.connect_timeout
        self._clock = clock
        self._name = settings.client_name
        self._options = options | {
            "protocol": 2,  # one shape of reply, whichever server answers
            "client_name": None,  # said in the greeting, where it may be refused
            "decode_responses": False,
            "socket_timeout": settings.connect_timeout,
            "socket_connect_timeout": settings.connect_timeout,
        }
        _check_options(connection, self._options)
        place = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        self.address = f"{place}/{options.get('db', 0)}"

    async def dial(self) -> Greeted:
        """A connected stream nobody else reads from.

        Raises:
            RedisUnavailable: Refused, not ready, not authenticated or not in time.
        """
        async with self._opened() as connection:
            return await self._greeted(connection)

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[AbstractConnection]:
        """An authenticated connection, closed after the block unless somebody took its stream."""
        connection = self._connection(**self._options)
        connect: Callable[[], Awaitable[None]] = connection.connect
        try:
            async with asyncio.timeout(self._timeout):
                await connect()
                yield connection
        except (RedisError, OSError) as error:
            raise RedisUnavailable(_reason(error), self.address) from error
        finally:
            _close(connection)

    async def _greeted(self, connection: AbstractConnection) -> Greeted:
        connect: Callable[[], Awaitable[None]] = connection.connect
        await connect()
        name = ("CLIENT", "SETNAME", self._name)
        sent = self._clock()
        _, _, now, information = await _answers(connection, ("PING",), name, ("TIME",), ("INFO", "server"))
        sample = Sample.of(now, sent, self._clock())
        writer = connection._writer  # noqa: SLF001 - redis-py has no public way to hand a connection on
        if writer is None:
            raise ConnectionResetError("closed while greeting")
        connection._writer = connection._reader = None  # noqa: SLF001 - it is ours from here
        return Greeted(writer, _run_id(information), sample)


async def _answers(connection: AbstractConnection, *questions: tuple[Word, ...]) -> list[Reply]:
    """The replies in order; None for a question the server refuses to answer."""
    await connection.send_packed_command(connection.pack_commands(questions), check_health=False)
    return [await _answer(connection) for _ in questions]


async def _answer(connection: AbstractConnection) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError:
        return None


def _run_id(information: bytes | None) -> str | None:
    """The `run_id` in the reply to INFO."""
    lines = (information or b"").splitlines()
    return next((str(line[7:], "ascii") for line in lines if line.startswith(b"run_id:")), None)


def _close(connection: AbstractConnection) -> None:
    close: Callable[[], None] = connection._close  # noqa: SLF001 - the only one that neither waits nor warns
    close()


def _check_options(connection: type[AbstractConnection], options: dict[str, Any]) -> None:
    try:
        connection(**options)
    except (TypeError, ValueError, RedisError):
        raise ValueError(WRONG_URL) from None


def _parse(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError:
        raise ValueError(WRONG_URL) from None


def _reason(error: BaseException) -> str:
    return next((reason for kind, reason in REASONS if isinstance(error, kind)), "refused")
