"""A cache on the real server, and what it counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sba_cache import Cache
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from sba_telemetry import use_meter_provider
from tests.integration.resilience.faults import Server


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as client:
        yield client


@pytest.fixture
def cache(redis: RedisClient) -> Cache:
    return Cache(redis)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server only this test uses."""
    made = Server(tmp_path / "valkey")
    made.start()
    yield made
    made.engine.stop()


@pytest.fixture
def counted() -> Iterator[Callable[[], dict[str, int]]]:
    """Reads by outcome since the test began."""
    reader = InMemoryMetricReader()
    use_meter_provider(MeterProvider([reader]))

    def outcomes() -> dict[str, int]:
        data = reader.get_metrics_data()
        metrics = (
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        found: dict[str, int] = {}
        for metric in metrics:
            if metric.name in ("sba.cache.requests", "sba.cache.unsaved"):
                for point in metric.data.data_points:
                    assert set(point.attributes) <= {"namespace", "outcome"}
                    found[str(point.attributes.get("outcome", "unsaved"))] = point.value
        return found

    yield outcomes
    use_meter_provider(None)
