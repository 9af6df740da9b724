"""OpenTelemetry's SDK wired for an app: spans to a collector, metrics to it and to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.util.types import Attributes
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sba_telemetry import metrics, traces
from sba_telemetry.redact import redact

_FLUSH_MILLISECONDS: Final = 5_000


class RedactingExporter(SpanExporter):
    """Hands spans on without secrets in their attributes and events."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export clean copies."""
        return self._inner.export([_clean(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the inner exporter down."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the inner exporter."""
        return self._inner.force_flush(timeout_millis)


class Telemetry:
    """The providers of one configured process.

    Attributes:
        tracer_provider: For an instrumentation that takes a provider.
        meter_provider: For an instrumentation that takes a provider.
    """

    def __init__(
        self, tracer_provider: TracerProvider, meter_provider: MeterProvider, registry: CollectorRegistry
    ) -> None:
        self.tracer_provider = tracer_provider
        self.meter_provider = meter_provider
        self._registry = registry
        self._open = True

    def render_metrics(self) -> tuple[bytes, str]:
        """Return all metrics as Prometheus text, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def shutdown(self) -> None:
        """Flush and stop; blocks up to a few seconds while a collector is slow. Safe to call twice."""
        if not self._open:
            return
        self._open = False
        _active.release(self)
        self.tracer_provider.force_flush(_FLUSH_MILLISECONDS)
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown(_FLUSH_MILLISECONDS)


class _Active:
    """The configuration spans and metrics currently go to: the last one made that is still open."""

    def __init__(self) -> None:
        self._telemetry: Telemetry | None = None

    def take(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        traces.use_tracer_provider(telemetry.tracer_provider)
        metrics.use_meter_provider(telemetry.meter_provider)

    def release(self, telemetry: Telemetry) -> None:
        if self._telemetry is telemetry:
            self._telemetry = None
            traces.use_tracer_provider(None)
            metrics.use_meter_provider(None)


_active: Final = _Active()


def configure_telemetry(
    *,
    service: str,
    otlp_endpoint: str | None = None,
    sample_ratio: float = 1.0,
    resource: Mapping[str, str] | None = None,
    span_exporter: SpanExporter | None = None,
) -> Telemetry:
    """Send this process's spans and metrics somewhere; after `Telemetry.shutdown` it can be called again.

    OpenTelemetry's own global providers are left alone. Without a collector or exporter nothing is recorded,
    but traces still have ids, so that log lines and jobs of one request can be found together.

    Args:
        service: Name of the process, such as ``sba-api``.
        otlp_endpoint: Base address of an OTLP/HTTP collector, such as ``http://127.0.0.1:4318``.
        sample_ratio: Share of new traces that is recorded, 0 to 1; a caller's decision is followed.
        resource: More attributes of the process, such as ``deployment.environment.name``.
        span_exporter: One more exporter, called for each span as it ends.
    """
    described = Resource({"service.name": service, **(resource or {})})
    exporting = otlp_endpoint is not None or span_exporter is not None
    registry = CollectorRegistry()
    readers: list[MetricReader] = [PrometheusMetricReader(registry=registry, scope_info_enabled=False)]
    tracer_provider = TracerProvider(
        resource=described,
        sampler=_sampler(sample_ratio) if exporting else ALWAYS_OFF,
        shutdown_on_exit=False,
        meter_provider=NoOpMeterProvider(),
    )
    if span_exporter is not None:
        tracer_provider.add_span_processor(SimpleSpanProcessor(RedactingExporter(span_exporter)))
    if otlp_endpoint is not None:
        readers.append(_send_to_collector(otlp_endpoint, tracer_provider))
    meter_provider = MeterProvider(readers, described, shutdown_on_exit=False)
    telemetry = Telemetry(tracer_provider, meter_provider, registry)
    _active.take(telemetry)
    return telemetry


def _sampler(ratio: float) -> Sampler:
    return ParentBased(TraceIdRatioBased(ratio))


def _send_to_collector(endpoint: str, tracer_provider: TracerProvider) -> MetricReader:
    from sba_telemetry import otlp  # noqa: PLC0415 - its HTTP stack is slow to import and often not needed

    exporter = RedactingExporter(otlp.span_exporter(endpoint))
    tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
    return otlp.metric_reader(endpoint)


def _clean(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_clean_attributes(span.attributes),
        events=[
            Event(event.name, _clean_attributes(event.attributes), event.timestamp) for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _clean_attributes(attributes: Attributes) -> Attributes:
    return cast("Attributes", redact(dict(attributes or {})))
