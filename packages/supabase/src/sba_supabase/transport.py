"""One pool of connections for every client, and what each client's requests must carry."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Final, Self

import httpx

from sba_supabase.answers import Body, Bounds, Strays
from sba_supabase.auth.flights import Flights
from sba_supabase.errors import PoolElsewhere, RequestEscapes

_SHARED: Final = b"HTTP/2"
_SPELLS_OUT_HEADERS: Final = logging.getLogger("hpack")
_FUNCTIONS = "/functions/v1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections there are, and how long anything takes; seconds.

    Attributes:
        connections: at most, to all hosts; over HTTP/2 one carries about a hundred requests at a time.
        kept_alive: idle connections kept.
        keep_alive: for how long.
        connect: to connect, TLS included.
        read: from asking, or from the end of a body that is sent, to the answer, and between two parts of
            that. Where nothing at all is heard over a connection for twice as long, it is given up, with
            all that it carries.
        write: between two parts of a request.
        queue: to wait for a free connection.
        total: from asking to the last byte of the answer.
        largest: bytes of an answer, unpacked.
    """

    connections: int = 100
    kept_alive: int = 20
    keep_alive: float = 30.0
    connect: float = 2.0
    read: float = 10.0
    write: float = 10.0
    queue: float = 10.0
    total: float = 30.0
    largest: int = 64 * 1024 * 1024


class Pool:
    """Connections that every client of one event loop shares: HTTP/2 where the server speaks it.

    It belongs to the event loop that uses it first, and so to one process.

    Nothing of a caller stays with a connection: cookies of answers are dropped, redirects not followed,
    proxies and certificates named in the environment not used.

    Args:
        limits: of connections and time.
        verify: the certificates to trust, where they are not the public ones.
    """

    def __init__(self, limits: Limits | None = None, *, verify: ssl.SSLContext | None = None) -> None:
        self.limits = limits or Limits()
        self.flights = Flights()
        self.strays = Strays()
        self._home: asyncio.AbstractEventLoop | None = None
        if _SPELLS_OUT_HEADERS.level == logging.NOTSET:
            _SPELLS_OUT_HEADERS.setLevel(logging.INFO)
        self._transport = httpx.AsyncHTTPTransport(
            http2=True,
            verify=verify or httpx.create_ssl_context(trust_env=False),
            trust_env=False,
            limits=httpx.Limits(
                max_connections=self.limits.connections,
                max_keepalive_connections=self.limits.kept_alive,
                keepalive_expiry=self.limits.keep_alive,
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def lend(self, url: str) -> Loan:
        """The connections, for one client and to one host.

        Args:
            url: the project's address.
        """
        return Loan(self, httpx.URL(url), self.limits)

    def transport(self) -> httpx.AsyncBaseTransport:
        """The connections themselves.

        Raises:
            PoolElsewhere: they are another event loop's.
        """
        here = asyncio.get_running_loop()
        self._home = self._home or here
        if self._home is not here:
            raise PoolElsewhere
        return self._transport

    async def aclose(self) -> None:
        """Close every connection and give up refreshes under way."""
        await self.flights.aclose()
        await self.strays.aclose()
        await self._transport.aclose()


class Loan(httpx.AsyncBaseTransport):
    """One client's use of the pool.

    Args:
        pool: the connections; they stay open when the client closes.
        origin: the only scheme, host and port that is asked.
        limits: of time.
    """

    def __init__(self, pool: Pool, origin: httpx.URL, limits: Limits) -> None:
        self._pool = pool
        self._origin = _origin(origin)
        self._limits = limits
        self._pinned: dict[str, str] = {}

    def pin(self, header: str, value: str) -> None:
        """Have every later request carry this header, whatever it says there itself."""
        self._pinned[header] = value

    def pinned(self, header: str) -> str | None:
        """What every request carries there, None for nothing in particular."""
        return self._pinned.get(header)

    def http(self) -> httpx.AsyncClient:
        """A client over these connections that remembers nothing of what it is answered."""
        limits = self._limits
        return httpx.AsyncClient(
            transport=self,
            timeout=httpx.Timeout(
                connect=limits.connect, read=2 * limits.read, write=limits.write, pool=limits.queue
            ),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            RequestEscapes: it is for another host.
            PoolElsewhere: the pool is another event loop's.
            httpx.ReadTimeout: the answer took longer than `Limits.read` or `Limits.total`.
            AnswerTooLarge: as its body is read: it is longer than `Limits.largest`.
        """
        if _origin(request.url) != self._origin:
            raise RequestEscapes
        request.headers.update(self._pinned)
        _drop_key_as_bearer(request)
        request.headers["accept-encoding"] = "gzip"
        limits = self._limits
        until = asyncio.get_running_loop().time() + limits.total
        bounds = Bounds(until, limits.read, limits.largest)
        response = await self._sent(request, bounds)
        shared = self._pool.strays if response.extensions.get("http_version") == _SHARED else None
        response.stream = Body(response, request, bounds, shared)
        return response

    async def _sent(self, request: httpx.Request, bounds: Bounds) -> httpx.Response:
        """The head of the answer. Who gives up waiting for it disturbs nobody on the same connection."""
        asking = asyncio.create_task(self._pool.transport().handle_async_request(request))
        try:
            async with asyncio.timeout_at(bounds.next()) as limit:
                if isinstance(request.stream, httpx.AsyncByteStream) and _has_body(request):
                    limit.reschedule(bounds.until)
                    request.stream = _Sending(request.stream, limit, bounds)
                return await asyncio.shield(asking)
        except TimeoutError:
            self._leave(asking, request, bounds)
            raise httpx.ReadTimeout("the answer takes too long", request=request) from None
        except asyncio.CancelledError:
            self._leave(asking, request, bounds)
            raise

    def _leave(self, asking: asyncio.Task[httpx.Response], request: httpx.Request, bounds: Bounds) -> None:
        if request.url.scheme == "http":
            asking.cancel()  # where nothing is shared
        self._pool.strays.take(_heard(asking, request, bounds, self._pool.strays), seconds=bounds.left())


class _Sending(httpx.AsyncByteStream):
    """The body of a request, from whose end on the answer has its time to begin.

    Args:
        stream: the body.
        limit: of the request.
        bounds: of the answer.
    """

    def __init__(self, stream: httpx.AsyncByteStream, limit: asyncio.Timeout, bounds: Bounds) -> None:
        self._stream = stream
        self._limit = limit
        self._bounds = bounds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part
        with suppress(RuntimeError):  # nobody waits any more
            self._limit.reschedule(self._bounds.next())


def _has_body(request: httpx.Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


async def _heard(
    asking: asyncio.Task[httpx.Response], request: httpx.Request, bounds: Bounds, strays: Strays
) -> None:
    await Body(await asking, request, bounds, strays).drain()


def _drop_key_as_bearer(request: httpx.Request) -> None:
    """Send functions an opaque key as `apikey` alone: it is no token, and they take a bearer for one."""
    key = request.headers.get("apikey", "")
    bearer = request.headers.get("authorization")
    if _FUNCTIONS in request.url.path and key.startswith("sb_") and bearer == f"Bearer {key}":
        del request.headers["authorization"]


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
