"""The gauge of a cluster's breakers is one, and shows the worst."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sba_resilience.redis import RedisSettings
from sba_resilience.redis.nodes import Nodes
from sba_telemetry import use_meter_provider


async def test_a_healthy_primary_never_hides_one_that_fails() -> None:
    reader = InMemoryMetricReader()
    use_meter_provider(MeterProvider([reader]))
    try:
        nodes = Nodes(RedisSettings("redis+cluster://127.0.0.1:1"))
        breaker = nodes.joined(("127.0.0.1", 1))._breaker
        breaker.force_open()
        nodes.joined(("127.0.0.1", 2))
        shown = [_level(reader)]
        breaker.reset()
        shown.append(_level(reader))
        await nodes.aclose()
    finally:
        use_meter_provider(None)
    assert shown == [2, 0]


def _level(reader: InMemoryMetricReader) -> float:
    data = reader.get_metrics_data()
    return next(
        point.value
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "sba.breaker.state"
        for point in metric.data.data_points
        if point.attributes == {"breaker": "redis"}
    )
