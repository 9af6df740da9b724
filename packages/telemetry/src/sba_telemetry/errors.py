"""What telemetry refuses.

TelemetryError
├── ForbiddenLabel(metric, label)   a metric label that would grow with tenants, users or runs
└── MetricConflict(metric)          one metric name declared in two ways
"""

from __future__ import annotations


class TelemetryError(Exception):
    """Base of everything this library raises."""


class ForbiddenLabel(TelemetryError):
    """A metric label names something unbounded; put it on a span or a log line instead.

    Attributes:
        metric: Name of the metric that was recorded.
        label: The refused label name.
    """

    def __init__(self, metric: str, label: str) -> None:
        super().__init__(f"metric {metric!r}: label {label!r} is unbounded, put it on a span or a log line")
        self.metric = metric
        self.label = label


class MetricConflict(TelemetryError):
    """A metric name is already declared with another kind, unit or description.

    Attributes:
        metric: The name declared twice.
    """

    def __init__(self, metric: str) -> None:
        super().__init__(f"metric {metric!r} is already declared differently")
        self.metric = metric
