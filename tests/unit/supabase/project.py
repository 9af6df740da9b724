"""A fake project on loopback: answers as PostgREST and Supabase Auth do, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from pydantic import SecretStr

USER = "5f4ddf2b-6a83-4a4a-9b4b-1f1f6c1a2b3c"
KEY = "sb_publishable_abc"


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


Answer = tuple[int, Any]


def user(user_id: str = USER) -> dict[str, Any]:
    return {
        "id": user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "email": "ana@example.com",
        "app_metadata": {"provider": "email"},
        "user_metadata": {"name": "Zoë 🦊"},
        "created_at": "2026-01-01T00:00:00Z",
    }


def session(name: str = "ana", *, ends: float, user_id: str = USER) -> dict[str, Any]:
    return {
        "access_token": f"access.{name}.token",
        "token_type": "bearer",
        "expires_in": 3600,
        "expires_at": int(ends),
        "refresh_token": f"refresh-{name}",
        "user": user(user_id),
    }


def refused(code: str, message: str = "no") -> dict[str, Any]:
    return {"code": code, "message": message, "details": None, "hint": None}


@dataclass
class Project:
    """Settings of the project, and what its server does.

    `routes` answers by path; `gate`, when set, is waited for before any answer.
    """

    url: str = ""
    anon_key: SecretStr | None = field(default_factory=lambda: SecretStr(KEY))
    asked: list[Asked] = field(default_factory=list)
    routes: dict[str, Callable[[Asked], Answer]] = field(default_factory=dict)
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def to(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (event := await receive()).get("more_body"):
            body += event["body"]
        body += event["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode())
        asked = Asked(scope["method"], scope["path"], query, headers, json.loads(body) if body else None)
        self.asked.append(asked)
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        route = self.routes.get(asked.path, echo)
        status, answer = route(asked)
        extra = [(name.encode(), value.encode()) for name, value in self.response_headers]
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": [*head, *extra]})
        await send({"type": "http.response.body", "body": content})

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Project]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = _Server(
            uvicorn.Config(self, log_config=None, lifespan="off", timeout_graceful_shutdown=1, ws="none")
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield self
        finally:
            if self.gate is not None:
                self.gate.set()
            server.should_exit = True
            await task


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def echo(asked: Asked) -> Answer:
    """Who asks, for which tenant."""
    names = ("authorization", "apikey", "x-tenant-id", "x-service-name", "cookie")
    return 200, [{name: asked.headers.get(name) for name in names}]
