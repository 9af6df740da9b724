"""The ASGI application of `/functions/v1`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from sba_local.supabase.functions.handlers import Answer, Call, Handler
from sba_telemetry import get_logger

PREFIX: Final = "/functions/v1/"
MAX_BODY: Final = 10 * 1024 * 1024
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LONGEST: Final = 150.0
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS: Final = frozenset({"content-length", "transfer-encoding", "connection"})

_log = get_logger(__name__)


class FunctionsApp:
    """A stand-in for edge functions: calls Python handlers by name. For development only.

    Whoever mounts it has verified the caller and says who it is in `scope["state"]`.

    Args:
        handlers: by name; may be changed while it serves.
        longest: seconds that a handler may take.
    """

    def __init__(self, handlers: Mapping[str, Handler], *, longest: float = LONGEST) -> None:
        self._handlers = handlers
        self._longest = longest

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
        return await _run(name, handler, call, self._longest)


async def _run(name: str, handler: Handler, call: Call, longest: float) -> Response:
    try:
        async with asyncio.timeout(longest) as limit:
            return _response(call, await handler(call))
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        _log.error("function failed", function=name, error="CancelledError")  # says it all
    except Exception as error:  # noqa: BLE001  # a handler may fail in any way
        if limit.expired():
            _log.warning("function took too long", function=name, seconds=longest)
            return _problem(504, "IDLE_TIMEOUT", "Function took too long to respond")
        _log.exception("function failed", function=name, error=type(error).__name__)
    return _problem(500, "WORKER_ERROR", "Function exited due to an error (please check logs)")


def _response(call: Call, answer: Any) -> Response:  # noqa: ANN401  # whatever a handler answers
    if isinstance(answer, Answer):
        return _own(call, answer)
    if isinstance(answer, bytes):
        return Response(answer, media_type="application/octet-stream")
    if isinstance(answer, str):
        return Response(answer, media_type="text/plain")
    return Response(json.dumps(answer, allow_nan=False), media_type="application/json")


def _own(call: Call, answer: Answer) -> Response:
    """An answer with a status and headers of the handler's own.

    Raises:
        ValueError: it cannot be sent.
    """
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in _OURS}
    if not 200 <= answer.status <= 599:  # noqa: PLR2004  # what a final answer may have
        raise ValueError(answer.status)
    for name, value in headers.items():
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise ValueError(name)
    if call.method == "GET" and headers.get("content-type", "").startswith("text/html"):
        headers["content-type"] = headers["content-type"].replace("text/html", "text/plain", 1)
    return Response(answer.body, answer.status, headers)


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
