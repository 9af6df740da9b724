"""The worker: takes jobs from the queue, survives what it stands on, and takes over from the dead."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString
from uuid import UUID

from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from sba_agents.conventions import INVOKE_AGENT, OPERATION
from sba_agents.errors import RunBusy, RunInterrupted
from sba_agents.execution import Dependencies, execute_run
from sba_db import seals
from sba_db.ids import new_id
from sba_telemetry import context, traces
from sba_telemetry.logs import get_logger

RUN_TASK: Final = "sba_agents.run"
RUN_QUEUE: Final = "runs"
UPKEEP_QUEUE: Final = "upkeep"
HOURLY: Final = "17 * * * *"

RECOVER: Final[LiteralString] = """
update procrastinate_jobs job
set status = 'todo', attempts = job.attempts + 1, scheduled_at = null, worker_id = null
where job.status = 'doing'
    and not exists (
        select from procrastinate_workers worker
        where worker.id = job.worker_id
            and worker.last_heartbeat >= now() - make_interval(secs => %(stalled_after)s::double precision)
    )
returning job.id
"""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works; times are in seconds.

    Attributes:
        url: DSN of `sba_worker`, on a direct connection: a pooler passes no notifications. Never shown.
        concurrency: Runs at a time.
        poll_interval: Longest wait for a job whose notification was missed, and for a retried one.
        heartbeat_interval: How often the worker says that it lives.
        stalled_after: A worker silent for this long is dead, and its jobs are taken over.
        recovery_interval: How often the jobs of dead workers are looked for.
        seal_interval: How often committed audit rows are sealed into their chains.
        shutdown_grace: How long running jobs may go on after a stop; then they are handed back.
        connect_timeout: Longest wait for a connection.
        backoff: Longest wait between attempts to reach Postgres again.
        keep_hours: How long ended jobs are kept.
    """

    url: str = field(repr=False)
    concurrency: int = 10
    poll_interval: float = 1.0
    heartbeat_interval: float = 2.0
    stalled_after: float = 8.0
    recovery_interval: float = 2.0
    seal_interval: float = 0.25
    shutdown_grace: float = 10.0
    connect_timeout: float = 3.0
    backoff: float = 5.0
    keep_hours: int = 72


async def run_worker(settings: WorkerSettings, *, dependencies: Dependencies, stop: asyncio.Event) -> None:
    """Execute queued runs until told to stop.

    Postgres and Redis may come and go meanwhile. After `stop` is set no job is begun; running ones have
    `shutdown_grace` seconds, then they go back to the queue. Cancelling the call does the same.

    Args:
        settings: How to work.
        dependencies: What runs are executed with.
        stop: Set it to end.
    """
    failures = 0
    while not stop.is_set():
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await _serve(settings, dependencies, stop)
        except Exception:  # noqa: BLE001 - whatever it was, the worker outlives it
            _log.exception("worker_interrupted")
        failures = 0 if loop.time() - began > settings.backoff else failures + 1
        await _pause(stop, min(settings.backoff, 0.1 * 2**failures) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter


async def _serve(settings: WorkerSettings, dependencies: Dependencies, stop: asyncio.Event) -> None:
    app = build_app(settings, dependencies)
    async with app.open_async():
        working = asyncio.create_task(_work(app, settings), name="sba-worker")
        recovering = asyncio.create_task(_recover(app, settings), name="sba-recovery")
        sealing = asyncio.create_task(_seal(app, settings), name="sba-sealer")
        stopping = asyncio.create_task(stop.wait(), name="sba-stop")
        try:
            await asyncio.wait({working, recovering, sealing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(recovering, sealing, stopping)
            await _cancel(working)
        for ended in (working, recovering, sealing):
            if not ended.cancelled():
                ended.result()


def build_app(settings: WorkerSettings, dependencies: Dependencies) -> App:
    """Procrastinate's app with our two tasks: executing a run, and forgetting old jobs."""
    app = App(connector=_connector(settings))

    @app.task(name=RUN_TASK, queue=RUN_QUEUE, pass_context=True, retry=Again())
    async def run(job: JobContext, *, tenant_id: str, run_id: str, traceparent: str | None = None) -> None:
        await _execute(dependencies, str(job.job.id), UUID(tenant_id), UUID(run_id), traceparent)

    @app.periodic(cron=HOURLY)
    @app.task(name="sba_agents.forget", queue=UPKEEP_QUEUE, queueing_lock="forget")
    async def forget(timestamp: int) -> None:  # noqa: ARG001 - handed to every periodic task
        await app.job_manager.delete_old_jobs(
            nb_hours=settings.keep_hours, include_failed=True, include_cancelled=True, include_aborted=True
        )

    return app


class Again(BaseRetryStrategy):
    """A job whose run has not ended is tried again: at once, after a lease, or after a growing wait."""

    longest: Final = 30.0

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        """When to try again."""
        seconds = self.wait(exception, job.attempts)
        return RetryDecision(retry_in={"milliseconds": round(seconds * 1000)})

    def wait(self, exception: BaseException, attempts: int) -> float:
        """Seconds until the next try."""
        if isinstance(exception, RunBusy | RunInterrupted):
            return min(exception.retry_after, self.longest)
        if isinstance(exception, asyncio.CancelledError):
            return 0.0
        return min(0.5 * 2.0 ** min(attempts, 10), self.longest)


async def _execute(
    dependencies: Dependencies, job_id: str, tenant_id: UUID, run_id: UUID, traceparent: str | None
) -> None:
    carrier = {"traceparent": traceparent} if traceparent else {}
    with (
        context.bind(tenant_id=tenant_id, run_id=run_id, job_id=job_id),
        traces.extract(carrier),
        traces.span(INVOKE_AGENT, kind="consumer", attributes={OPERATION: INVOKE_AGENT}),
    ):
        holder = f"job-{job_id}-{new_id()}"
        status = await execute_run(dependencies, tenant_id=tenant_id, run_id=run_id, holder=holder)
        _log.info("run_ended", status=status.value if status else "unknown")


def _connector(settings: WorkerSettings) -> PsycopgConnector:
    connection = {
        "options": "-c search_path=queue",
        "application_name": "sba-worker",
        "connect_timeout": round(settings.connect_timeout),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }
    return PsycopgConnector(
        conninfo=settings.url,
        kwargs=connection,
        min_size=0,
        max_size=4,
        timeout=settings.connect_timeout,
        reconnect_timeout=settings.connect_timeout,
    )


def _work(app: App, settings: WorkerSettings) -> Coroutine[Any, Any, None]:
    return app.run_worker_async(
        name="sba",
        concurrency=settings.concurrency,
        fetch_job_polling_interval=settings.poll_interval,
        abort_job_polling_interval=settings.poll_interval,
        shutdown_graceful_timeout=settings.shutdown_grace,
        update_heartbeat_interval=settings.heartbeat_interval,
        stalled_worker_timeout=settings.stalled_after,
        install_signal_handlers=False,
        listen_notify=True,
    )


async def _recover(app: App, settings: WorkerSettings) -> None:
    while True:
        try:
            rows = await app.connector.execute_query_all_async(RECOVER, stalled_after=settings.stalled_after)
        except ConnectorException as error:
            _log.warning("recovery_failed", reason=type(error).__name__)
        else:
            if rows:
                _log.warning("jobs_taken_over", count=len(rows))
        await asyncio.sleep(settings.recovery_interval)


async def _seal(app: App, settings: WorkerSettings) -> None:
    while True:
        pause = settings.seal_interval
        try:
            await seals.seal(app.connector.execute_query_one_async)
        except ConnectorException as error:
            _log.warning("sealing_failed", reason=type(error.__cause__ or error).__name__)
            pause = settings.backoff
        await asyncio.sleep(pause)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
