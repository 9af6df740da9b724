"""Spans that cost little, and a trace that survives the way through queues and services."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Final, Literal

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sba_telemetry.context import current

Kind = Literal["internal", "server", "client", "consumer", "producer"]
AttributeValue = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]

_KINDS: Final[Mapping[str, SpanKind]] = MappingProxyType({kind.name.lower(): kind for kind in SpanKind})
_FRAMES: Final = 12
_W3C: Final = TraceContextTextMapPropagator()


class _Source:
    """Where spans come from: the host's global provider until one is put in its place."""

    __slots__ = ("tracer",)

    def __init__(self) -> None:
        self.tracer: Tracer = trace.get_tracer("sba")


_source: Final = _Source()


def use_tracer_provider(provider: TracerProvider | None) -> None:
    """Send spans to this provider from now on; ``None`` goes back to OpenTelemetry's global one."""
    _source.tracer = trace.get_tracer("sba") if provider is None else provider.get_tracer("sba")


class SpanScope:
    """One span, current while its ``with`` block runs; entered once."""

    __slots__ = ("_attributes", "_kind", "_name", "_span", "_token")

    def __init__(self, name: str, kind: SpanKind, attributes: Mapping[str, AttributeValue] | None) -> None:
        self._name = name
        self._kind = kind
        self._attributes = attributes

    def __enter__(self) -> Span:
        span = _source.tracer.start_span(self._name, kind=self._kind)
        self._span = span
        if span.is_recording():
            _describe(span, self._attributes)
        self._token = otel_context.attach(trace.set_span_in_context(span))
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        otel_context.detach(self._token)
        if error is not None and self._span.is_recording():
            _record_failure(self._span, error)
        self._span.end()


class Continued:
    """The scope of a trace that began elsewhere; entered once."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: otel_context.Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = otel_context.attach(self._context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        otel_context.detach(self._token)


def span(
    name: str, *, kind: Kind = "internal", attributes: Mapping[str, AttributeValue] | None = None
) -> SpanScope:
    """Open a span for a ``with`` block; use one per boundary crossed.

    The fields bound in the context are put on it as ``sba.<field>``. An exception that leaves the block gives
    the span the error status, the exception's type and where it was raised, never its message; a cancellation
    is marked as such and is no error.

    Args:
        name: A name of low cardinality, such as ``runs.create``; identifiers belong in the attributes.
        kind: The side of the boundary this is.
        attributes: What is known at the start.

    Returns:
        A context manager that yields the OpenTelemetry span.
    """
    return SpanScope(name, _KINDS[kind], attributes)


def inject() -> dict[str, str]:
    """Return ``traceparent`` (and ``tracestate``) of the current span, empty outside any trace."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier


def extract(carrier: Mapping[str, str]) -> Continued:
    """Continue, in a ``with`` block, the trace whose ``traceparent`` a caller or job carried.

    Args:
        carrier: Lower-case header names to values. A missing or malformed ``traceparent`` changes nothing.
    """
    return Continued(_W3C.extract(carrier, context=otel_context.get_current()))


def trace_id() -> str | None:
    """Return the current trace id as 32 hex digits, or ``None`` outside any trace."""
    here = trace.get_current_span().get_span_context()
    return format(here.trace_id, "032x") if here.is_valid else None


def span_id() -> str | None:
    """Return the current span id as 16 hex digits, or ``None`` outside any trace."""
    here = trace.get_current_span().get_span_context()
    return format(here.span_id, "016x") if here.is_valid else None


def _describe(span: Span, attributes: Mapping[str, AttributeValue] | None) -> None:
    described: dict[str, AttributeValue] = {f"sba.{name}": value for name, value in current().items()}
    if attributes:
        described.update(attributes)
    if described:
        span.set_attributes(described)


def _record_failure(span: Span, error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        span.set_attribute("sba.cancelled", value=True)
        return
    name = _type_name(error)
    span.set_attribute("error.type", name)
    span.set_status(Status(StatusCode.ERROR, name))
    span.add_event("exception", {"exception.type": name, "exception.stacktrace": _places(error)})


def _places(error: BaseException) -> str:
    frames = traceback.walk_tb(error.__traceback__)
    last = traceback.StackSummary.extract(frames, limit=-_FRAMES, lookup_lines=False)
    return "\n".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in last)


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
