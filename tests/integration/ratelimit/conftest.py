"""A limiter on the real server, with memory of denials off unless a test wants it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sba_ratelimit import Limiter
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.resilience.faults import Server


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with open_redis(RedisSettings(redis_url, command_timeout=2.0)) as client:
        yield client


@pytest.fixture
def limiter(redis: RedisClient) -> Limiter:
    return Limiter(redis, deny_for=0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server only this test uses."""
    made = Server(tmp_path / "valkey")
    made.start()
    yield made
    made.engine.stop()
