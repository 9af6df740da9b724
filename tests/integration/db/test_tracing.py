"""Each repository method is one span that names it and its tenant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from sba_db import RunNotFound, agent_runs, new_id, system_health
from sba_telemetry.traces import use_tracer_provider
from tests.integration.db.conftest import new_run


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer_provider(provider)
    yield exporter
    use_tracer_provider(None)


async def test_a_call_is_one_client_span_with_its_name_and_tenant(database, a, spans):
    await new_run(database, a)

    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("agent_runs.create_run", SpanKind.CLIENT)
    assert span.attributes["sba.tenant_id"] == str(a.id)
    assert span.attributes["db.system.name"] == "postgresql"


async def test_a_call_that_belongs_to_no_tenant_names_none(database, spans):
    await system_health.latest(database)

    (span,) = spans.get_finished_spans()
    assert "sba.tenant_id" not in span.attributes


async def test_a_failed_call_says_what_kind_of_error_it_was(database, a, spans):
    with pytest.raises(RunNotFound):
        async with database.tenant(a.id) as session:
            await agent_runs.cancel_run(session, run_id=new_id())

    (span,) = spans.get_finished_spans()
    assert span.attributes["error.type"] == "sba_db.errors.RunNotFound"
