"""A proxy in front of Postgres that counts round trips and can cut or hold the line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """Carries bytes both ways; `round_trips` counts how often the client spoke after it had listened."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._client_spoke_last = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.round_trips = 0
        self.connections = 0
        self.cut_before: Callable[[bytes], bool] | None = None
        self.cut_after: Callable[[bytes], bool] | None = None
        self.hold: asyncio.Event | None = None
        self.reached = asyncio.Event()

    def cut(self) -> None:
        """Drop every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def carry(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            server, out = await asyncio.open_connection(*self._server)
        except OSError:
            back.transport.abort()
            return
        self._writers |= {back, out}
        ways = [
            asyncio.create_task(self._pump(client, out, upward=True)),
            asyncio.create_task(self._pump(server, back, upward=False)),
        ]
        self._tasks |= set(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for one in ways:
            one.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for writer in (out, back):
            writer.transport.abort()
        self._writers -= {back, out}

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, upward: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(1 << 16):
                if upward and self.cut_before and self.cut_before(data):
                    self.cut()
                    return
                if not upward and self.hold:
                    self.reached.set()
                    await self.hold.wait()
                self.round_trips += upward and not self._client_spoke_last
                self._client_spoke_last = upward
                target.write(data)
                await target.drain()
                if upward and self.cut_after and self.cut_after(data):
                    self.cut()
                    return

    async def end(self) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire and the URL that leads through it."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    wire = Wire(parts.hostname, parts.port)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = parts.netloc.rpartition("@")[0]
    through = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
    try:
        yield wire, f"{through}?sslmode=disable&gssencmode=disable"
    finally:
        server.close()
        await wire.end()
