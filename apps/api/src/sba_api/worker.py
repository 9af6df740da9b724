"""The worker process."""

from __future__ import annotations

import asyncio
import signal

from sba_agents import jobs
from sba_agents.execution import Dependencies
from sba_api.settings import WorkerSettings
from sba_db.database import DatabaseSettings, open_database
from sba_resilience.redis import RedisSettings, open_redis
from sba_telemetry import configure_logging, get_logger
from sba_telemetry.sdk import configure_telemetry

_SPARE_CONNECTIONS = 2
_log = get_logger(__name__)


def work(settings: WorkerSettings) -> None:
    """Execute queued runs until a signal says stop, then finish or hand back what was begun."""
    configure_logging(service="sba-worker", level=settings.log_level)
    telemetry = configure_telemetry(
        service="sba-worker",
        otlp_endpoint=settings.otlp_endpoint,
        sample_ratio=settings.trace_sample_ratio,
    )
    try:
        asyncio.run(_work(settings))
    finally:
        telemetry.shutdown()


async def _work(settings: WorkerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with (
        open_database(_database(settings)) as database,
        open_redis(RedisSettings(url=settings.redis_url.get_secret_value()), probe=True) as redis,
    ):
        _log.info("worker.started", concurrency=settings.worker_concurrency)
        await jobs.run_worker(
            jobs.WorkerSettings(
                url=settings.queue_database_url.get_secret_value(),
                concurrency=settings.worker_concurrency,
                shutdown_grace=settings.shutdown_timeout,
            ),
            dependencies=Dependencies(database=database, redis=redis),
            stop=stop,
        )
        _log.info("worker.stopped")


def _database(settings: WorkerSettings) -> DatabaseSettings:
    return DatabaseSettings(
        url=settings.database_url.get_secret_value(),
        max_size=settings.worker_concurrency + _SPARE_CONNECTIONS,
    )
