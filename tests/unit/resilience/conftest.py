"""A clock, and what a meter has counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sba_resilience.testing import FakeClock
from sba_telemetry import use_meter_provider


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def measured() -> Iterator[Callable[..., Any]]:
    """The value of a metric with the given labels; 0 when it never counted."""
    reader = InMemoryMetricReader()
    use_meter_provider(MeterProvider([reader]))

    def value(name: str, **labels: object) -> Any:
        data = reader.get_metrics_data()
        points = [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if dict(point.attributes) == labels
        ]
        return getattr(points[0], "value", None) if points else 0

    yield value
    use_meter_provider(None)
