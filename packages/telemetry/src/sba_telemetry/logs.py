"""One line per event, in JSON or for people, whoever wrote it and without secrets."""

from __future__ import annotations

import datetime as dt
import json as json_codec
import logging
import re
import sys
from collections.abc import Sequence
from typing import Final, TextIO, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from sba_telemetry.context import current
from sba_telemetry.redact import redact
from sba_telemetry.traces import span_id, trace_id

_SERVERS: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def add_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put the bound fields and the current trace on the line; what the line says itself wins."""
    for name, value in current().items():
        event.setdefault(name, value)
    here = trace_id()
    if here is not None:
        event.setdefault("trace_id", here)
        event.setdefault("span_id", span_id())
    return event


def without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Redact everything the line carries."""
    record, ours = event.pop("_record", None), event.pop("_from_structlog", None)
    clean = cast("EventDict", redact(event))
    if record is not None:
        clean.update(_record=record, _from_structlog=ours)
    return clean


_SHARED: Final[Sequence[Processor]] = (
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    add_context,
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    without_secrets,
)
_OURS: Final[Sequence[Processor]] = (
    structlog.stdlib.filter_by_level,
    *_SHARED,
    ProcessorFormatter.wrap_for_formatter,
)
_FOREIGN: Final[Sequence[Processor]] = (structlog.stdlib.ExtraAdder(), *_SHARED)


class _Output(logging.StreamHandler[TextIO]):
    """The one handler of ours on the root logger; standard error is looked up when a line is written."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(sys.stderr if stream is None else stream)
        self._given = stream

    def emit(self, record: logging.LogRecord) -> None:
        if self._given is None:
            self.stream = sys.stderr
        super().emit(record)


def get_logger(name: str) -> BoundLogger:
    """Return the structured logger of a module; keyword arguments become fields of the line.

    It writes through the standard library's logger of that name, so that a host which never calls
    `configure_logging` keeps deciding where lines go and from which level on.
    """
    return cast(
        "BoundLogger",
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=_OURS,
            wrapper_class=BoundLogger,
            cache_logger_on_first_use=True,
        ),
    )


def configure_logging(
    *, service: str, level: str = "INFO", json: bool = True, stream: TextIO | None = None
) -> None:
    """Write all of the process's log lines in one form; calling it again replaces the form.

    Lines of the standard library and of uvicorn (started with ``log_config=None``) take the same way.
    Every line has ``timestamp`` (UTC), ``level``, ``logger``, ``service``, ``event``, the bound context
    fields, and ``trace_id`` and ``span_id`` inside a span.

    Args:
        service: Name of the process, such as ``sba-api``.
        level: Lowest level written, such as ``INFO``.
        json: One JSON object a line; ``False`` for a console.
        stream: Where to write; standard error by default.

    Raises:
        ValueError: The level is not one the standard library knows.
    """
    output = _Output(stream)
    output.setFormatter(_formatter(service, json=json))
    root = logging.getLogger()
    root.setLevel(level.upper())
    _remove_ours(root)
    root.addHandler(output)
    for name in _SERVERS:
        server = logging.getLogger(name)
        server.handlers.clear()
        server.propagate = True


def reset_logging() -> None:
    """Take back what `configure_logging` did to the root logger."""
    root = logging.getLogger()
    _remove_ours(root)
    root.setLevel(logging.WARNING)


def _remove_ours(root: logging.Logger) -> None:
    for handler in [known for known in root.handlers if isinstance(known, _Output)]:
        root.removeHandler(handler)


def _formatter(service: str, *, json: bool) -> ProcessorFormatter:
    def describe(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        record = cast("logging.LogRecord", event["_record"])
        at = dt.datetime.fromtimestamp(record.created, dt.UTC)
        return {"timestamp": at.isoformat(timespec="milliseconds"), "service": service, **event}

    renderer: Sequence[Processor] = (_as_json,) if json else (_in_one_line, _console())
    return ProcessorFormatter(
        foreign_pre_chain=_FOREIGN,
        processors=(describe, ProcessorFormatter.remove_processors_meta, *renderer),
    )


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return json_codec.dumps(event, default=str, ensure_ascii=False)


def _in_one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["event"] = _CONTROL.sub(lambda match: repr(match.group())[1:-1], str(event.get("event", "")))
    return event


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
