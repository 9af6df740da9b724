"""A node in this process, its issuer, a proxy that can fail, and the stock client that watches."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import socketio

from sba_agents import events
from sba_agents.events import RunEvent
from sba_db import Database
from sba_db.repositories import agent_runs, run_events
from sba_local.identity import Issuer
from sba_resilience.redis import RedisClient
from sba_ws.limits import Limits
from sba_ws.serve import DrainingServer, server
from sba_ws.settings import WsSettings
from tests.fixtures.databases import Tenant

WAIT = 20.0


async def until(condition: Callable[[], object], *, within: float = WAIT) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - conditions of the outside world send no event
            await asyncio.sleep(0.01)


class Watcher:
    """A stock python-socketio client that remembers what it was told."""

    def __init__(self, **options: Any) -> None:
        self.client = socketio.AsyncClient(**{"reconnection": False, **options})
        self.events: list[dict[str, Any]] = []
        self.gaps: list[dict[str, Any]] = []
        self.said: list[tuple[str, Any]] = []
        self.refusals: list[dict[str, Any]] = []
        self.disconnects: list[str] = []
        for name, keep in (
            ("run:event", self.events.append),
            ("gap", self.gaps.append),
            ("auth:expiring", lambda data: self.said.append(("auth:expiring", data))),
            ("drain", lambda data: self.said.append(("drain", data))),
            ("connect_error", self.refusals.append),
            ("disconnect", self.disconnects.append),
        ):
            self.client.on(name, keep)

    async def connect(
        self, url: str, token: str | None, *, tenant_id: object = None, **options: Any
    ) -> Watcher:
        auth = {"token": token} | ({} if tenant_id is None else {"tenant_id": str(tenant_id)})
        await self.client.connect(url, auth=auth, wait_timeout=10, **options)
        return self

    async def subscribe(self, run_id: object, **more: Any) -> dict[str, Any]:
        return await self.call("run:subscribe", {"run_id": str(run_id), **more})

    async def call(self, name: str, *payload: Any) -> dict[str, Any]:
        data = payload if len(payload) != 1 else payload[0]
        answer: dict[str, Any] = await self.client.call(name, data, timeout=15)
        return answer

    def seqs(self, run_id: object = None) -> list[int]:
        return [event["seq"] for event in self.events if run_id is None or event["run_id"] == str(run_id)]

    async def close(self) -> None:
        await self.client.disconnect()
        await self.client.shutdown()


class Proxy:
    """TCP in between, which can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse new connections and drop the old."""
        if self._server is None:
            return
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, to_there = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, to_there}
        await asyncio.gather(_copy(reader, to_there), _copy(there, writer))
        self._writers -= {writer, to_there}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def publishing_keys(issuer: Issuer) -> AsyncIterator[int]:
    """Serve the issuer's JWKS; yields the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(issuer.jwks()).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        writer.write(head.encode() + b"connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


@dataclass
class Station:
    """A running node and everything a test does to it."""

    settings: WsSettings
    limits: Limits
    issuer: Issuer
    database: Database
    redis: RedisClient
    running: DrainingServer = field(init=False)
    _task: asyncio.Task[None] = field(init=False)
    _watchers: list[Watcher] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        port: int = self.running.servers[0].sockets[0].getsockname()[1]
        return port

    @property
    def node(self) -> Any:
        return self.running._app._node

    async def start(self) -> None:
        self.running = server(self.settings, limits=self.limits)
        self._task = asyncio.create_task(self.running.serve())
        await until(lambda: self.running.started or self._task.done())

    async def stop(self) -> None:
        self.running.should_exit = True
        await asyncio.wait({self._task}, timeout=WAIT)

    async def close(self) -> None:
        for watcher in self._watchers:
            await watcher.close()
        await self.stop()

    def token(
        self, tenant: Tenant, *, ttl: float = 600.0, user: UUID | None = None, named: bool = True
    ) -> str:
        return self.issuer.mint(
            user_id=user or tenant.user, tenant_id=tenant.id if named else None, role="member", ttl=ttl
        )

    def watcher(self, **options: Any) -> Watcher:
        watcher = Watcher(**options)
        self._watchers.append(watcher)
        return watcher

    async def watch(self, tenant: Tenant, *, ttl: float = 600.0, **options: Any) -> Watcher:
        """A connected client of that tenant's user."""
        return await self.watcher().connect(self.url, self.token(tenant, ttl=ttl), **options)

    async def run(self, tenant: Tenant, *, events: int = 1) -> UUID:
        """A run with that many events, none of them published."""
        async with self.database.tenant(tenant.id) as session:
            run = await agent_runs.create_run(session, user_id=tenant.user, prompt="watch me")
            for number in range(2, events + 1):
                await run_events.append_event(
                    session, run_id=run.id, type="step.finished", data={"n": number}
                )
        return run.id

    async def append(
        self,
        tenant: Tenant,
        run_id: UUID,
        *,
        kind: str = "step.finished",
        data: dict[str, Any] | None = None,
        carried: bool = True,
    ) -> RunEvent:
        """Commit one more event and, unless told otherwise, let Redis carry it."""
        async with self.database.tenant(tenant.id) as session:
            event = await run_events.append_event(session, run_id=run_id, type=kind, data=data or {})
        if carried:
            await events.publish(self.redis, [event])
        return event
