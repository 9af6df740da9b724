"""What happened: context, logs, traces, metrics and redaction."""

from sba_telemetry.context import bind, current
from sba_telemetry.errors import ForbiddenLabel, MetricConflict, TelemetryError
from sba_telemetry.logs import configure_logging, get_logger, reset_logging
from sba_telemetry.metrics import (
    Cell,
    Counter,
    Gauge,
    Histogram,
    Tally,
    counter,
    gauge,
    histogram,
    tally,
    use_meter_provider,
)
from sba_telemetry.redact import REDACTED, is_secret_name, redact, redact_text
from sba_telemetry.traces import extract, inject, span, span_id, trace_id, use_tracer_provider

__all__ = [
    "REDACTED",
    "Cell",
    "Counter",
    "ForbiddenLabel",
    "Gauge",
    "Histogram",
    "MetricConflict",
    "Tally",
    "TelemetryError",
    "bind",
    "configure_logging",
    "counter",
    "current",
    "extract",
    "gauge",
    "get_logger",
    "histogram",
    "inject",
    "is_secret_name",
    "redact",
    "redact_text",
    "reset_logging",
    "span",
    "span_id",
    "tally",
    "trace_id",
    "use_meter_provider",
    "use_tracer_provider",
]
