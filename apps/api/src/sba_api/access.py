"""The access log: one JSON line a request, put together here because it is written for every one of them.

Nothing a client chooses freely gets into a line, so it needs neither escaping nor redaction: the method is
one of a few, the route is its template, the request id has passed its pattern, and the rest are numbers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TextIO

from sba_telemetry import span_id, trace_id

LOGGER: Final = "sba_api.access"
_SERVER_ERROR: Final = 500
_log = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answered request."""

    request_id: str
    method: str
    route: str
    status: int
    seconds: float

    def fields(self) -> str:
        """The members of its JSON object, without braces."""
        return (
            f'"event": "request", "method": "{self.method}", "route": "{self.route}", '
            f'"status": {self.status}, '
            f'"duration_ms": {self.seconds * 1_000:.2f}, "request_id": "{self.request_id}", '
            f'"trace_id": "{trace_id()}", "span_id": "{span_id()}"'
        )


class _Output:
    """Where lines go: the standard library's logger until a service writes them itself."""

    __slots__ = ("head", "stream")

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.head = ""

    def write(self, level: int, fields: str) -> None:
        if self.stream is None:
            _log.log(level, "{%s}", fields)
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds")  # noqa: TID251 - an app's edge
        name = "info" if level == logging.INFO else "warning"
        self.stream.write(f'{{"timestamp": "{at}", {self.head}, "level": "{name}", {fields}}}\n')


_output: Final = _Output()


def configure(*, service: str, stream: TextIO | None) -> None:
    """Write lines to this stream from now on; with None, to the standard library's logger again."""
    _output.stream = stream
    _output.head = f'"service": "{service}", "logger": "{LOGGER}"'


def write(exchange: Exchange) -> None:
    """Write the line of one request, as far as the logger's level lets it through."""
    level = logging.WARNING if exchange.status >= _SERVER_ERROR else logging.INFO
    if _log.isEnabledFor(level):
        _output.write(level, exchange.fields())
