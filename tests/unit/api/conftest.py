"""The smallest ASGI world: one request against one app, with full control of its messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Answer:
    """What an app sent."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name.lower()]
        assert len(found) <= 1, f"{name} was sent twice"
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)


async def ask_app(
    app: Any,
    method: str = "GET",
    path: str = "/",
    *,
    headers: Sequence[tuple[str, str]] = (),
    chunks: Sequence[bytes] = (b"",),
    **scope: Any,
) -> Answer:
    waiting = list(chunks)
    answer = Answer()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers += [(key.decode(), value.decode()) for key, value in message["headers"]]
        else:
            answer.body += message.get("body", b"")

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    base = {"type": "http", "method": method, "path": path, "headers": raw, "scheme": "http"}
    await app({**base, "query_string": b"", **scope}, receive, send)
    return answer


@pytest.fixture
def ask() -> Any:
    """`await ask(app, method, path, headers=…, chunks=…)` → `Answer`."""
    return ask_app
