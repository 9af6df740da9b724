"""What every repository method carries: a session of a tenant, a deadline, a span and figures."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sba_db import (
    DatabaseSettings,
    DatabaseTimeout,
    DatabaseUnavailable,
    PoolExhausted,
    RunNotFound,
    StatementFailed,
    StatementRefused,
    TransactionConflict,
    agent_runs,
    agent_steps,
    new_id,
    open_database,
    repositories,
    system_health,
)
from sba_db.method import outcome_of, repository_method
from sba_db.models.tables import TABLES
from sba_db.sessions import ReadSession
from sba_resilience import Deadline, DeadlineExceeded
from sba_resilience.testing import FakeClock
from sba_telemetry import context, use_meter_provider, use_tracer_provider
from tests.integration.db.conftest import claim, new_run

PRIVATE = ("tenant", "user", "run", "job", "key", "id")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer_provider(provider)
    yield exporter
    use_tracer_provider(None)


class Figures:
    """What the methods' instruments have counted since the test began."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader
        self._before = self._read()

    def _points(self):
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        yield metric.name, point

    def _read(self) -> dict[tuple[str, str], int]:
        return {
            (point.attributes["method"], point.attributes["outcome"]): point.value
            for name, point in self._points()
            if name == "sba.db.calls"
        }

    @property
    def calls(self) -> dict[tuple[str, str], int]:
        now = self._read()
        return {
            key: now[key] - self._before.get(key, 0) for key in now if now[key] > self._before.get(key, 0)
        }

    @property
    def timed(self) -> dict[tuple[str, str], int]:
        return {
            (point.attributes["method"], point.attributes["outcome"]): point.count
            for name, point in self._points()
            if name == "sba.db.duration"
        }

    @property
    def labels(self) -> set[str]:
        return {
            label
            for name, point in self._points()
            if name.startswith("sba.db.")
            for label in point.attributes
        }


@pytest.fixture
def figures() -> Iterator[Figures]:
    reader = InMemoryMetricReader()
    use_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    yield Figures(reader)
    use_meter_provider(None)


def methods() -> list[tuple[str, object]]:
    found = []
    for module in pkgutil.iter_modules(repositories.__path__, "sba_db.repositories."):
        for name, value in vars(importlib.import_module(module.name)).items():
            mine = getattr(value, "__module__", None) == module.name
            if mine and not name.startswith("_") and inspect.iscoroutinefunction(value):
                found.append((f"{module.name.rpartition('.')[2]}.{name}", value))
    return found


def test_every_public_coroutine_of_a_repository_is_a_guarded_method_of_its_table():
    tables = {table.name for table in TABLES}
    for name, function in methods():
        assert hasattr(function, "__wrapped__"), f"{name} is not decorated"
        assert function.__code__.co_name == "guarded", f"{name} is not a repository method"
        assert name.partition(".")[0] in tables
    assert len(methods()) > 20


async def test_a_method_refuses_what_is_no_session_of_a_tenant(database):
    for stranger in (database, object(), None):
        with pytest.raises(StatementRefused, match="needs a session of a tenant"):
            await agent_runs.get_run(stranger, new_id())


async def test_a_call_after_its_deadline_is_not_begun(database, a):
    clock = FakeClock()
    with Deadline.after(1.0, clock).scope():
        clock.advance(2.0)
        with pytest.raises(DeadlineExceeded):
            await agent_runs.get_run(database.reader(a.id), new_id())
        with pytest.raises(DeadlineExceeded):
            await system_health.latest(database)


async def test_a_span_names_the_table_the_operation_the_tenant_the_run_and_the_job(database, a, spans):
    run = await new_run(database, a)
    lease = await claim(database, a, run.id)
    spans.clear()
    with context.bind(job_id="7"):
        await agent_runs.get_run(database.reader(a.id), run.id)
        async with database.tenant(a.id) as session:
            await agent_runs.heartbeat(session, lease=lease, ttl_seconds=5)
        await agent_steps.list_steps(database.reader(a.id), run_id=run.id)

    for span in spans.get_finished_spans():
        assert span.attributes["db.system.name"] == "postgresql"
        assert span.attributes["sba.tenant_id"] == str(a.id)
        assert span.attributes["sba.run_id"] == str(run.id)
        assert span.attributes["sba.job_id"] == "7"
    first = spans.get_finished_spans()[0]
    assert (first.attributes["db.collection.name"], first.attributes["db.operation.name"]) == (
        "agent_runs",
        "get_run",
    )


async def test_a_span_of_a_list_tells_how_many_rows_there_were(database, a, spans):
    for _ in range(3):
        await new_run(database, a)
    spans.clear()
    await agent_runs.list_runs(database.reader(a.id), limit=2)
    await agent_steps.list_steps(database.reader(a.id), new_id())

    rows = [span.attributes["db.response.returned_rows"] for span in spans.get_finished_spans()]
    assert rows == [2, 0]


async def test_a_span_of_a_defect_carries_the_servers_code(database, a, spans):
    @repository_method
    async def broken(session: ReadSession) -> None:
        await session.fetch_all("select nothing from service.agent_runs where tenant_id = %(tenant)s")

    with pytest.raises(StatementFailed):
        await broken(database.reader(a.id))

    (span,) = spans.get_finished_spans()
    assert span.attributes["db.response.status_code"] == "42703"


async def test_calls_are_counted_and_timed_by_method_and_outcome_and_nothing_else(database, a, figures):
    await new_run(database, a)
    reader = database.reader(a.id)
    for _ in range(3):
        await agent_runs.get_run(reader, new_id())
    with pytest.raises(RunNotFound):
        async with database.tenant(a.id) as session:
            await agent_runs.cancel_run(session, run_id=new_id())

    expected = {
        ("agent_runs.create_run", "ok"): 1,
        ("agent_runs.get_run", "ok"): 3,
        ("agent_runs.cancel_run", "refused"): 1,
    }
    assert figures.calls == expected
    assert figures.timed == expected
    assert figures.labels <= {"method", "outcome"}


async def test_a_cancelled_call_and_a_full_pool_are_told_apart(database_urls, a, figures):
    settings = DatabaseSettings(url=database_urls.app, max_size=1, pool_timeout=0.05)
    async with open_database(settings) as database, database.tenant(a.id) as session:
        await agent_runs.get_run(session, new_id())
        with pytest.raises(PoolExhausted):
            await agent_runs.get_run(database.reader(a.id), new_id())
        waiting = asyncio.create_task(agent_runs.get_run(database.reader(a.id), new_id()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert figures.calls == {
        ("agent_runs.get_run", "ok"): 1,
        ("agent_runs.get_run", "exhausted"): 1,
        ("agent_runs.get_run", "cancelled"): 1,
    }


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DatabaseUnavailable(), "unavailable"),
        (DatabaseTimeout("late"), "timeout"),
        (TransactionConflict("deadlock"), "conflict"),
        (StatementFailed("UndefinedColumn", "42703"), "failed"),
        (StatementRefused("no"), "failed"),
        (ZeroDivisionError(), "failed"),
        (RunNotFound(new_id()), "refused"),
    ],
)
def test_an_outcome_says_whether_it_was_the_database_us_or_the_request(error, outcome):
    assert outcome_of(error) == outcome
