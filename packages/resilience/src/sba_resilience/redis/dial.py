"""Open a connection with redis-py (URL, TLS, ACL, database), then hand its socket on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    RedisError,
)

from sba_resilience.errors import RedisUnavailable
from sba_resilience.redis.settings import RedisSettings

REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (AuthenticationError, "authentication"),
    (AuthorizationError, "authentication"),
    (NoPermissionError, "authentication"),
    (BusyLoadingError, "not_ready"),
    (TimeoutError, "timeout"),
)

WRONG_URL = "the Redis URL must start with redis://, rediss:// or unix:// and hold only valid options"


class Dialer:
    """Makes connections that are authenticated and have answered a PING.

    Raises:
        ValueError: The URL is not one redis-py understands; the message never holds the URL.
    """

    __slots__ = ("_connection", "_options", "_timeout", "address")

    def __init__(self, settings: RedisSettings) -> None:
        options = _parse(settings.url)
        connection: type[AbstractConnection] = options.pop("connection_class", Connection)
        self._connection = connection
        self._timeout = settings.connect_timeout
        self._options = options | {
            "protocol": 2,  # one shape of reply, whichever server answers
            "client_name": settings.client_name,
            "socket_timeout": settings.connect_timeout,
            "socket_connect_timeout": settings.connect_timeout,
        }
        _check_options(connection, self._options)
        place = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        self.address = f"{place}/{options.get('db', 0)}"

    async def dial(self) -> asyncio.StreamWriter:
        """A connected stream nobody else reads from.

        Raises:
            RedisUnavailable: Refused, not ready, not authenticated or not in time.
        """
        connection = self._connection(**self._options)
        try:
            async with asyncio.timeout(self._timeout):
                return await _greeted(connection)
        except (RedisError, OSError) as error:
            raise RedisUnavailable(_reason(error), self.address) from error
        finally:
            _close(connection)


async def _greeted(connection: AbstractConnection) -> asyncio.StreamWriter:
    connect: Callable[[], Awaitable[None]] = connection.connect
    await connect()
    await connection.send_command("PING", check_health=False)
    await connection.read_response()
    writer = connection._writer  # noqa: SLF001 - redis-py has no public way to hand a connection on
    if writer is None:
        raise ConnectionResetError("closed while greeting")
    connection._writer = connection._reader = None  # noqa: SLF001 - it is ours from here
    return writer


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
