"""What we lean on in Procrastinate beyond its documented surface: a new version must still keep to it."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from procrastinate import sql, worker
from procrastinate.jobs import Job
from procrastinate.schema import SchemaManager

from sba_agents import Dependencies
from sba_agents.errors import RunBusy
from sba_agents.jobs import WorkerSettings
from sba_agents.jobs.worker import Again, build_app
from tests.fixtures.databases import Urls

OURS = {
    "defer_jobs",
    "defer_periodic_job",
    "fetch_job",
    "finish_job",
    "prune_stalled_workers",
    "register_worker",
    "retry_job",
    "unregister_worker",
    "update_heartbeat",
}


def job(attempts: int) -> Job:
    return cast("Job", SimpleNamespace(attempts=attempts))


def test_the_version_is_the_one_that_was_examined() -> None:
    assert version("procrastinate").startswith("3.10.")


def test_a_worker_has_a_periodic_task_without_which_it_would_not_notice_a_dead_heartbeat() -> None:
    """The monitor of side tasks stops watching once the periodic deferrer has returned for want of tasks."""
    source = Path(worker.__file__).read_text(encoding="utf-8")
    assert "return_when=asyncio.FIRST_COMPLETED" in source
    app = build_app(WorkerSettings(url="postgresql://nobody@127.0.0.1/none"), cast("Dependencies", None))
    assert app.periodic_registry.periodic_tasks


async def test_the_worker_login_may_execute_every_function_a_worker_calls(database_urls: Urls) -> None:
    called = {name for query in OURS for name in re.findall(r"procrastinate_\w+_v\d", sql.queries[query])}
    async with await psycopg.AsyncConnection.connect(database_urls.worker) as connection:
        for name in called - {"procrastinate_job_to_defer_v1"}:
            cursor = await connection.execute(
                "select bool_and(has_function_privilege(oid, 'execute')) from pg_proc"
                " where pronamespace = 'queue'::regnamespace and proname = %s",
                (name,),
            )
            assert await cursor.fetchone() == (True,), name


def test_the_schema_names_no_schema_of_its_own() -> None:
    assert "procrastinate_jobs" in SchemaManager.get_schema()
    assert re.search(r"\b(public|procrastinate)\.procrastinate_", SchemaManager.get_schema()) is None


@pytest.mark.parametrize(
    ("error", "attempts", "seconds"),
    [
        (RunBusy(3.0), 0, 3.0),
        (RunBusy(900.0), 0, 30.0),
        (ConnectionError(), 0, 0.5),
        (ConnectionError(), 3, 4.0),
        (ConnectionError(), 10_000, 30.0),
    ],
)
def test_a_job_waits_before_it_is_tried_again(error: Exception, attempts: int, seconds: float) -> None:
    assert Again().wait(error, attempts) == seconds
    decision: Any = Again().get_retry_exception(error, job(attempts))
    assert decision.retry_decision.retry_at is not None
