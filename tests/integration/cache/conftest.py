"""A cache on the real server, and what it counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sba_cache import Cache, CacheSettings
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from sba_telemetry import use_meter_provider
from tests.integration.resilience.faults import Server

COUNTED = ("sba.cache.requests", "sba.cache.unsaved", "sba.cache.refresh_failures")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as client:
        yield client


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[Cache]:
    """Another process, as far as the cache can tell."""
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as client:
        yield Cache(client)


@pytest.fixture
def cache(redis: RedisClient) -> Cache:
    return Cache(redis)


@pytest.fixture
def far(redis: RedisClient) -> Cache:
    """A cache that keeps nothing in the process."""
    return Cache(redis, CacheSettings(l1_bytes=0))


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
    before = _outcomes(reader)

    def since() -> dict[str, int]:
        counts = {name: count - before.get(name, 0) for name, count in _outcomes(reader).items()}
        return {name: count for name, count in counts.items() if count}

    yield since
    use_meter_provider(None)


def _outcomes(reader: InMemoryMetricReader) -> dict[str, int]:
    data = reader.get_metrics_data()
    metrics = (
        metric
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
    found: dict[str, int] = {}
    for metric in metrics:
        if metric.name in COUNTED:
            for point in metric.data.data_points:
                assert set(point.attributes) <= {"namespace", "outcome"}
                name = str(point.attributes.get("outcome", metric.name.rpartition(".")[2]))
                found[name] = found.get(name, 0) + int(point.value)
    return found
