"""A way to the server whose connection for changes can be hung or cut while commands go through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65536


@dataclass
class Line:
    """One proxied connection."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    hears: bool = False

    def close(self) -> None:
        for writer in (self.near, self.far):
            writer.transport.abort()


@dataclass
class Wire:
    """All connections of one node; those that ask for tracking are the ones that hear of changes."""

    host: str
    port: int
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    up: bool = True
    breaks: int = 0
    lines: list[Line] = field(default_factory=list)
    pumps: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.flowing.set()

    def hang(self) -> None:
        """From here on nothing is heard, and nothing says so."""
        self.flowing.clear()

    def heal(self) -> None:
        """Deliver what was held up, and everything after."""
        self.flowing.set()

    def cut(self) -> None:
        """End the connections that hear."""
        for line in self.lines:
            if line.hears:
                line.close()

    def break_off(self) -> None:
        """End every connection and take no more, until `up` is set."""
        self.up = False
        self.breaks += 1
        for line in self.lines:
            line.close()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.up:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        line = Line(writer, far_writer)
        self.lines.append(line)
        for pump in (self._ask(line, reader), self._answer(line, far_reader)):
            task = asyncio.create_task(pump)
            self.pumps.add(task)
            task.add_done_callback(self.pumps.discard)

    async def _ask(self, line: Line, reader: asyncio.StreamReader) -> None:
        while words := await _read(reader):
            line.hears |= b"TRACKING" in words
            line.far.write(words)
        line.close()

    async def _answer(self, line: Line, reader: asyncio.StreamReader) -> None:
        while words := await _read(reader):
            if line.hears:
                await self.flowing.wait()
            line.near.write(words)
        line.close()

    async def close(self) -> None:
        self.flowing.set()
        for line in self.lines:
            line.close()
        if self.pumps:
            await asyncio.wait(self.pumps)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(CHUNK)
    except ConnectionError:
        return b""


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire to the server at `url`, and the address by which a client takes it."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    wire = Wire(parts.hostname, parts.port)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    credentials, _, _ = parts.netloc.rpartition("@")
    near = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
    try:
        yield wire, near
    finally:
        server.close()
        await wire.close()
        await server.wait_closed()
