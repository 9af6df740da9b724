"""Plain HTTP answers, also to a WebSocket that is refused before it opens."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_REFUSING = "websocket.http.response"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and its headers."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, scope: Scope, send: Send) -> None:
        """Send it, as a refusal where a WebSocket was asked for."""
        if scope["type"] == "http":
            await self._send("http.response", send, without_body=scope["method"] == "HEAD")
        elif _REFUSING in (scope.get("extensions") or {}):
            await self._send(_REFUSING, send)
        else:
            await send({"type": "websocket.close"})

    async def _send(self, kind: str, send: Send, *, without_body: bool = False) -> None:
        headers = {
            "content-type": self.content_type,
            "content-length": str(len(self.body)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            **self.headers,
        }
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": f"{kind}.start", "status": self.status, "headers": encoded})
        await send({"type": f"{kind}.body", "body": b"" if without_body else self.body, "more_body": False})


def document(status: int, body: Mapping[str, object]) -> Answer:
    """A JSON object."""
    return Answer(status, json.dumps(body).encode())


def problem(status: int, code: str, detail: str, *, retry_after: float | None = None) -> Answer:
    """A problem+json document; ``retry_after`` seconds become a whole number of them."""
    body = {
        "type": f"urn:sba:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    headers = {} if retry_after is None else {"retry-after": str(max(1, math.ceil(retry_after)))}
    return Answer(status, json.dumps(body).encode(), "application/problem+json", headers)
