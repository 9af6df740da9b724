"""A line to Postgres, in a process of its own, that is as long as one likes and counts its round trips.

`python benchmarks/db_wire.py HOST PORT MILLISECONDS` prints the port it listens on; `count` on its standard
input is answered with the round trips since the last time.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit, urlunsplit

CHUNK = 1 << 16

Chunk: TypeAlias = "tuple[float, bytes]"


class Wire:
    """The line as its user sees it.

    Attributes:
        process: Where it runs.
        port: Where it listens.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = int(self._heard())

    async def count(self) -> int:
        """How often a client spoke after it had listened, since the last time."""
        return await asyncio.to_thread(self._count)

    def through(self, url: str) -> str:
        """The same database at the other end of the line."""
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{self.port}"))

    def _count(self) -> int:
        assert self.process.stdin
        self.process.stdin.write("count\n")
        self.process.stdin.flush()
        return int(self._heard())

    def _heard(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@contextmanager
def wire_to(url: str, *, milliseconds: float = 0.0) -> Iterator[Wire]:
    """A line to that server on which a round trip takes so much longer."""
    parts = urlsplit(url)
    place = [str(parts.hostname), str(parts.port), str(milliseconds)]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, str(Path(__file__)), *place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Wire(process)
    finally:
        process.communicate()


class Line:
    """What the process keeps: how long the way is, and who spoke last on each connection."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._round_trips = 0

    def carry(self, client: socket.socket, server: socket.socket) -> None:
        """Both ways of one connection; the delay is all on the way up."""
        listening = threading.Event()
        listening.set()
        upward: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
        start(self._hear, client, upward, listening)
        start(deliver, upward, server)
        start(back, server, client, listening)

    def _hear(
        self, client: socket.socket, upward: queue.SimpleQueue[Chunk], listening: threading.Event
    ) -> None:
        while data := received(client):
            if listening.is_set():
                listening.clear()
                with self._lock:
                    self._round_trips += 1
            upward.put((time.monotonic() + self._seconds, data))
        upward.put((0.0, b""))

    def count(self) -> int:
        """The round trips since the last time."""
        with self._lock:
            counted, self._round_trips = self._round_trips, 0
        return counted


def start(function: object, *args: object) -> None:
    """Run it beside the rest."""
    threading.Thread(target=function, args=args, daemon=True).start()  # type: ignore[arg-type]  # any function


def received(source: socket.socket) -> bytes:
    """What came, or nothing once the line is cut."""
    with suppress(OSError):
        return source.recv(CHUNK)
    return b""


def deliver(upward: queue.SimpleQueue[Chunk], server: socket.socket) -> None:
    """Hand on what was said, when it is due."""
    while True:
        due, data = upward.get()
        if not data:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        with suppress(OSError):
            server.sendall(data)
    hang_up(server)


def back(server: socket.socket, client: socket.socket, listening: threading.Event) -> None:
    """Hand on what is answered."""
    while data := received(server):
        listening.set()
        with suppress(OSError):
            client.sendall(data)
    hang_up(client)


def hang_up(end: socket.socket) -> None:
    """Cut one end."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def serve(host: str, port: int, milliseconds: float) -> None:
    """Listen until standard input ends."""
    line = Line(milliseconds / 1000)
    with socket.create_server(("127.0.0.1", 0)) as door:
        start(admit, door, line, (host, port))
        print(door.getsockname()[1], flush=True)
        for _ in sys.stdin:
            print(line.count(), flush=True)


def admit(door: socket.socket, line: Line, place: tuple[str, int]) -> None:
    """Connect everyone who comes."""
    while True:
        client, _ = door.accept()
        server = socket.create_connection(place)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.carry(client, server)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
