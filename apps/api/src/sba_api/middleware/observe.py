"""The outermost layer: request id, span, metrics, access log, and the answer to what nobody foresaw."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from opentelemetry.trace import Span
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sba_api import access
from sba_api.middleware.security import security_headers
from sba_api.problems import INTERNAL, REQUEST_ID, problem_answer
from sba_telemetry import context, logs, metrics, traces

_SAFE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_log = logs.get_logger(__name__)
_duration = metrics.histogram(
    "http.server.request.duration", unit="s", description="Time from a request's first byte to its answer."
)


class Observe:
    """Makes every request findable: one id, one span, one metric point and one log line."""

    def __init__(
        self, app: ASGIApp, *, docs_policy: bytes, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._app = app
        self._docs_policy = docs_policy
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._docs_policy, self._clock)
        with ExitStack() as stack:
            stack.enter_context(context.bind(request_id=exchange.request_id))
            if exchange.traceparent:
                stack.enter_context(traces.extract({"traceparent": exchange.traceparent}))
            span = stack.enter_context(
                traces.span(exchange.method, kind="server", attributes=exchange.attributes())
            )
            await self._answer(exchange, receive)
            exchange.finish(span)

    async def _answer(self, exchange: _Exchange, receive: Receive) -> None:
        scope = exchange.scope
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - the last place that can answer
            _log.exception("request.failed", error_type=type(error).__name__)
            if not exchange.status:
                await problem_answer(scope, INTERNAL)(scope, receive, exchange.send)


class _Exchange:
    """One request and what became of it."""

    __slots__ = (
        "_added", "_clock", "_send", "_started", "method", "request_id", "scope", "status", "traceparent",
    )  # fmt: skip

    def __init__(self, scope: Scope, send: Send, docs_policy: bytes, clock: Callable[[], float]) -> None:
        self.scope = scope
        self.status = 0
        self.method: str = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        self.request_id, self.traceparent = _read_headers(scope)
        scope[REQUEST_ID] = self.request_id
        self._added = [
            (b"x-request-id", self.request_id.encode()),
            *security_headers(scope, docs_policy),
        ]
        self._send = send
        self._clock = clock
        self._started = clock()

    def attributes(self) -> dict[str, str]:
        """What the span knows before the route does."""
        return {"http.request.method": self.method, "url.path": self.scope["path"]}

    async def send(self, message: Message) -> None:
        """Pass an answer on, with the headers every answer carries."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._added]
        await self._send(message)

    def finish(self, span: Span) -> None:
        """Name the span by its route, record the metric, write the access line."""
        seconds = self._clock() - self._started
        route = _route_of(self.scope)
        labels: dict[str, Any] = {
            "http.request.method": self.method,
            "http.route": route,
            "http.response.status_code": self.status,
        }
        if span.is_recording():
            span.update_name(f"{self.method} {route}")
            span.set_attributes(labels)
        _duration.record(seconds, labels)
        access.write(access.Exchange(self.request_id, self.method, route, self.status, seconds))


def _read_headers(scope: Scope) -> tuple[str, str | None]:
    request_id: str | None = None
    traceparent: str | None = None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(value):
            request_id = value.decode("ascii")
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    return request_id or secrets.token_hex(16), traceparent


def _route_of(scope: Scope) -> str:
    route = scope.get("route")
    return getattr(route, "path", None) or "unmatched"
