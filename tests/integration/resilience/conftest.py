"""Servers for faults, and a client that waits long enough for a busy machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.resilience.cluster_servers import Cluster
from tests.integration.resilience.faults import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server only this test uses."""
    made = Server(tmp_path / "valkey")
    made.start()
    yield made
    made.engine.stop()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries with a replica each; whoever breaks it mends it."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as client:
        yield client
