"""The ASGI application of `/functions/v1`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from sba_local.supabase.functions.handlers import Answer, Call, Handler
from sba_telemetry import get_logger

PREFIX: Final = "/functions/v1/"
MAX_BODY: Final = 10 * 1024 * 1024
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})

_log = get_logger(__name__)


class FunctionsApp:
    """A stand-in for edge functions: calls Python handlers by name. For development only.

    Whoever mounts it has verified the caller and says who it is in `scope["state"]`.

    Args:
        handlers: by name; may be changed while it serves.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        name, _, path = request.scope["path"].removeprefix(PREFIX).partition("/")
        handler = self._handlers.get(name)
        if handler is None:
            return _problem(404, "NOT_FOUND", "Requested function was not found")
        if request.method not in METHODS:
            return _problem(405, "METHOD_NOT_ALLOWED", "Method not allowed")
        body = await _body(request)
        if body is None:
            return _problem(413, "PAYLOAD_TOO_LARGE", "The request is too large")
        call = Call(
            method=request.method,
            path=path,
            query=dict(request.query_params),
            headers=dict(request.headers),
            body=body,
            role=request.scope["state"]["role"],
            claims=request.scope["state"]["claims"],
        )
        return await _run(name, handler, call)


async def _run(name: str, handler: Handler, call: Call) -> Response:
    try:
        return _response(await handler(call))
    except Exception as error:  # noqa: BLE001  # a handler may fail in any way
        _log.exception("function failed", function=name, error=type(error).__name__)
        return _problem(500, "WORKER_ERROR", "Function exited due to an error (please check logs)")


def _response(answer: Any) -> Response:  # noqa: ANN401  # whatever a handler answers
    if isinstance(answer, Answer):
        return Response(answer.body, answer.status, dict(answer.headers))
    if isinstance(answer, bytes):
        return Response(answer, media_type="application/octet-stream")
    if isinstance(answer, str):
        return Response(answer, media_type="text/plain")
    return Response(json.dumps(answer), media_type="application/json")


def _problem(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message}, status_code=status)


async def _body(request: Request) -> bytes | None:
    """The body, None when it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    return bytes(body)
