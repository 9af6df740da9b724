"""A bench to submit runs on, and workers for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from sba_agents import Dependencies
from sba_agents.jobs import WorkerSettings, run_worker
from sba_db.database import Database
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.fixtures.databases import Tenant, Urls
from tests.integration.agents.bench import PATIENCE, QUICK, Bench


@pytest.fixture
async def bench(database: Database, database_urls: Urls, tenants: tuple[Tenant, Tenant]) -> Bench:
    return Bench(database, database_urls, tenants[0])


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with open_redis(RedisSettings(url=redis_url, command_timeout=2.0)) as client:
        yield client


@pytest.fixture
def deps(database: Database) -> Dependencies:
    return Dependencies(database=database, settings=QUICK)


Working = Callable[..., Any]


@pytest.fixture
def quick_worker(database_urls: Urls) -> WorkerSettings:
    return WorkerSettings(
        url=database_urls.worker,
        poll_interval=0.1,
        heartbeat_interval=0.2,
        stalled_after=1.0,
        recovery_interval=0.2,
        shutdown_grace=5.0,
        connect_timeout=2.0,
        backoff=0.5,
    )


@pytest.fixture
def working(quick_worker: WorkerSettings, deps: Dependencies) -> Working:
    """`async with working(runner=…)`: a worker runs meanwhile."""

    @asynccontextmanager
    async def open_worker(
        settings: WorkerSettings = quick_worker, **changes: Any
    ) -> AsyncIterator[asyncio.Task[None]]:
        stop = asyncio.Event()
        task = asyncio.create_task(run_worker(settings, dependencies=replace(deps, **changes), stop=stop))
        try:
            yield task
        finally:
            stop.set()
            async with asyncio.timeout(PATIENCE):
                await task

    return open_worker
