"""One pool of connections for every client, and what each client's requests must carry."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self, TypeVar

import httpx

from sba_supabase.auth.flights import Flights
from sba_supabase.errors import RequestEscapes

_Answer = TypeVar("_Answer")
_FUNCTIONS = "/functions/v1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections there are, and how long anything takes; seconds.

    Attributes:
        connections: at most, to all hosts; over HTTP/2 one carries about a hundred requests at a time.
        kept_alive: idle connections kept.
        keep_alive: for how long.
        connect: to connect, TLS included.
        read: between two parts of an answer.
        write: between two parts of a request.
        queue: to wait for a free connection.
        total: from asking to the last byte of the answer.
    """

    connections: int = 100
    kept_alive: int = 20
    keep_alive: float = 30.0
    connect: float = 2.0
    read: float = 10.0
    write: float = 10.0
    queue: float = 10.0
    total: float = 30.0


class Pool:
    """Connections that every client of one event loop shares: HTTP/2 where the server speaks it.

    Nothing of a caller stays with a connection: cookies of answers are dropped, redirects not followed,
    proxies and certificates named in the environment not used.

    Args:
        limits: of connections and time.
        verify: the certificates to trust, where they are not the public ones.
    """

    def __init__(self, limits: Limits | None = None, *, verify: ssl.SSLContext | None = None) -> None:
        self.limits = limits or Limits()
        self.flights = Flights()
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
        return Loan(self._transport, httpx.URL(url), self.limits)

    async def aclose(self) -> None:
        """Close every connection and give up refreshes under way."""
        await self.flights.aclose()
        await self._transport.aclose()


class Loan(httpx.AsyncBaseTransport):
    """One client's use of the pool.

    Args:
        transport: the shared one; it stays open when the client closes.
        origin: the only scheme, host and port that is asked.
        limits: of time.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, origin: httpx.URL, limits: Limits) -> None:
        self._transport = transport
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
                connect=limits.connect, read=limits.read, write=limits.write, pool=limits.queue
            ),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            RequestEscapes: it is for another host.
            httpx.ReadTimeout: the answer took longer than `Limits.total`.
        """
        if _origin(request.url) != self._origin:
            raise RequestEscapes
        request.headers.update(self._pinned)
        _drop_key_as_bearer(request)
        until = asyncio.get_running_loop().time() + self._limits.total
        response = await _before(until, self._transport.handle_async_request(request), request)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _Bounded(response.stream, until, request)
        return response


class _Bounded(httpx.AsyncByteStream):
    """The body of an answer, up to a moment."""

    def __init__(self, stream: httpx.AsyncByteStream, until: float, request: httpx.Request) -> None:
        self._stream = stream
        self._until = until
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = aiter(self._stream)
        while True:
            try:
                part = await _before(self._until, anext(parts), self._request)
            except StopAsyncIteration:
                return
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _before(until: float, work: Awaitable[_Answer], request: httpx.Request) -> _Answer:
    """The answer, if it comes before that moment of the loop's time."""
    try:
        async with asyncio.timeout_at(until):
            return await work
    except TimeoutError:
        raise httpx.ReadTimeout("the answer takes too long", request=request) from None


def _drop_key_as_bearer(request: httpx.Request) -> None:
    """Send functions an opaque key as `apikey` alone: it is no token, and they take a bearer for one."""
    key = request.headers.get("apikey", "")
    bearer = request.headers.get("authorization")
    if _FUNCTIONS in request.url.path and key.startswith("sb_") and bearer == f"Bearer {key}":
        del request.headers["authorization"]


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
