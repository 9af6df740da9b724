"""A caller that never waits: keep-alive connections that ask again as soon as they are answered."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

CONNECTIONS = 32


class Caller(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = b""
        self.answered = 0
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]  # a TCP transport writes

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask again."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        place = self._buffer.lower().find(b"content-length:", 0, head)
        length = int(self._buffer[place + 15 : self._buffer.find(b"\r\n", place)])
        if len(self._buffer) < head + 4 + length:
            return
        self.answered += 1
        self.failed += not self._buffer.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        self._transport.write(self._request)  # type: ignore[attr-defined]  # a TCP transport writes


async def load(port: int, request: bytes, seconds: float) -> float:
    """Answers per second over `seconds`, after a fifth of that to warm up."""
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Caller(request), "127.0.0.1", port) for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(seconds / 5)
    before, began = sum(caller.answered for _, caller in made), time.perf_counter()
    await asyncio.sleep(seconds)
    answered = sum(caller.answered for _, caller in made) - before
    elapsed = time.perf_counter() - began
    for transport, caller in made:
        transport.close()
        if caller.failed:
            raise SystemExit(f"{caller.failed} answers were not 200")
    return answered / elapsed


def run_load() -> None:
    """The load process: what to do is on standard input."""
    wanted = json.load(sys.stdin)
    print(uvloop.run(load(wanted["port"], wanted["request"].encode(), wanted["seconds"])))


if __name__ == "__main__":
    run_load()
