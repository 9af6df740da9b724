"""One tenant's user, as a program of theirs would call the platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import socketio  # type: ignore[import-untyped]  # ships no types

TERMINAL = frozenset({"run.succeeded", "run.failed", "run.cancelled"})
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Visitor:
    """A caller with a token of one tenant.

    Attributes:
        name: The tenant's name, for the terminal.
        tenant_id: The tenant, as the token says.
        http: A client of the API that carries the token.
        token: The token itself, for the socket.
        ws_url: Where the sockets are served.
    """

    name: str
    tenant_id: str
    http: httpx.AsyncClient
    token: str
    ws_url: str

    async def add_document(self, title: str, content: str) -> str:
        """Store a document; returns its id."""
        answer = await self.http.post("/v1/knowledge/documents", json={"title": title, "content": content})
        answer.raise_for_status()
        return str(answer.json()["id"])

    async def submit(self, prompt: str, key: str) -> httpx.Response:
        """Ask for a run."""
        return await self.http.post("/v1/runs", json={"prompt": prompt}, headers={"Idempotency-Key": key})

    async def read_run(self, run_id: str) -> Mapping[str, Any]:
        """The run as it stands."""
        answer = await self.http.get(f"/v1/runs/{run_id}")
        answer.raise_for_status()
        run: Mapping[str, Any] = answer.json()
        return run

    async def search(self, query: str) -> list[Mapping[str, Any]]:
        """The passages that answer a query."""
        answer = await self.http.post("/v1/knowledge/search", json={"query": query})
        answer.raise_for_status()
        hits: list[Mapping[str, Any]] = answer.json()["items"]
        return hits

    async def events(self, run_id: str, *, after: int = 0) -> AsyncIterator[Mapping[str, Any]]:
        """A run's events, from the table and then live, until it ends.

        Raises:
            SubscriptionRefused: When the server does not let this caller see the run.
            TimeoutError: When nothing comes for half a minute.
        """
        received: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        async with self._socket() as socket:
            socket.on("run:event", received.put)
            answer = await socket.call("run:subscribe", {"run_id": run_id, "after": after}, timeout=PATIENCE)
            if not answer["ok"]:
                raise SubscriptionRefused(answer["error"]["code"])
            while True:
                event = await asyncio.wait_for(received.get(), PATIENCE)
                yield event
                if event["type"] in TERMINAL:
                    return

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[socketio.AsyncClient]:
        socket = socketio.AsyncClient(reconnection=False)
        await socket.connect(self.ws_url, auth={"token": self.token}, transports=["websocket"])
        try:
            yield socket
        finally:
            await socket.disconnect()


class SubscriptionRefused(Exception):
    """The server answered a subscription with an error.

    Attributes:
        code: Its code, such as `not_found`.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
