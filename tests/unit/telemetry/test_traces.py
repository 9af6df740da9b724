from __future__ import annotations

import asyncio
import re

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from sba_telemetry import bind, extract, inject, span, span_id, trace_id, use_tracer_provider

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_span_is_exported_with_kind_attributes_and_bound_fields(exported):
    with bind(run_id="r1"), span("runs.create", kind="server", attributes={"http.route": "/v1/runs"}) as here:
        here.set_attribute("later", 1)
    (done,) = exported.get_finished_spans()
    assert (done.name, done.kind) == ("runs.create", SpanKind.SERVER)
    assert dict(done.attributes) == {"sba.run_id": "r1", "http.route": "/v1/runs", "later": 1}
    assert done.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("kind", ["internal", "server", "client", "consumer", "producer"])
def test_every_kind_has_its_name(exported, kind):
    with span("x", kind=kind):
        pass
    assert exported.get_finished_spans()[0].kind is SpanKind[kind.upper()]


def test_spans_nest(exported):
    with span("outer"), span("inner"):
        pass
    inner, outer = exported.get_finished_spans()
    assert inner.parent.span_id == outer.context.span_id
    assert inner.context.trace_id == outer.context.trace_id


class OddError(Exception):
    """Raised with a secret in its message."""


def test_a_failure_is_recorded_by_type_and_place_and_never_by_message(exported):
    with pytest.raises(OddError), span("work"):
        raise OddError("prompt of a customer, password=hunter2")
    (done,) = exported.get_finished_spans()
    (event,) = done.events
    assert done.status.status_code is StatusCode.ERROR
    assert done.attributes["error.type"].endswith(".OddError")
    assert event.attributes["exception.type"] == done.attributes["error.type"]
    assert "test_traces.py" in event.attributes["exception.stacktrace"]
    assert "prompt of a customer" not in done.to_json()


def test_builtin_errors_go_by_their_bare_name(exported):
    with pytest.raises(KeyError), span("work"):
        {}["x"]
    assert exported.get_finished_spans()[0].attributes["error.type"] == "KeyError"


async def test_a_cancellation_is_marked_and_is_no_error(exported):
    entered = asyncio.Event()

    async def work() -> None:
        with span("work"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (done,) = exported.get_finished_spans()
    assert done.status.status_code is StatusCode.UNSET
    assert done.attributes["sba.cancelled"] is True


async def test_concurrent_tasks_keep_their_own_current_span(exported):
    both_inside = asyncio.Barrier(2)

    async def work() -> tuple[str | None, str | None]:
        with span("work"):
            before = span_id()
            await both_inside.wait()
            return before, span_id()

    for before, after in await asyncio.gather(work(), work()):
        assert before == after is not None


def test_secrets_in_attributes_and_events_are_not_exported(exported):
    with span("work", attributes={"db.url": "redis://:hunter2@h", "api_key": "hunter2"}) as here:
        here.add_event("sent", {"authorization": "Bearer hunter2hunter2"})
        here.set_attribute("many", ["a", "password=hunter2"])
    assert "hunter2" not in exported.get_finished_spans()[0].to_json()


def test_a_trace_goes_on_where_its_parent_was_carried(exported):
    with extract({"traceparent": PARENT, "tracestate": "a=b"}), span("job", kind="consumer"):
        carried = inject()
        assert trace_id() == "0af7651916cd43dd8448eb211c80319c"
    (done,) = exported.get_finished_spans()
    assert format(done.parent.span_id, "016x") == "b7ad6b7169203331"
    assert re.fullmatch(r"00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-0[13]", carried["traceparent"])
    assert carried["tracestate"] == "a=b"
    assert trace_id() is None


@pytest.mark.parametrize(
    "carrier",
    [{}, {"traceparent": ""}, {"traceparent": "x"}, {"traceparent": PARENT + "-more"},
     {"traceparent": "0" * 600}, {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
     {"traceparent": f"ff-{PARENT[3:]}"}],
)  # fmt: skip
def test_a_missing_or_malformed_parent_changes_nothing(exported, carrier):
    with span("outer"):
        here = trace_id()
        with extract(carrier):
            assert trace_id() == here


def test_outside_any_trace_there_is_nothing_to_carry():
    assert (inject(), trace_id(), span_id()) == ({}, None, None)


def test_without_an_sdk_spans_do_nothing_and_carried_traces_pass_through():
    with extract({"traceparent": PARENT}), span("work", attributes={"a": 1}) as here:
        assert not here.is_recording()
        assert inject()["traceparent"] == PARENT


def test_without_a_collector_traces_still_have_ids(telemetry):
    with span("outer") as outer:
        outer_trace = trace_id()
        assert outer_trace is not None
        assert not outer.is_recording()
        with span("inner"):
            assert trace_id() == outer_trace


def test_spans_follow_whichever_provider_is_in_use():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer_provider(provider)
    with span("seen"):
        pass
    use_tracer_provider(None)
    with span("unseen"):
        pass
    assert [done.name for done in exporter.get_finished_spans()] == ["seen"]


def test_the_global_provider_is_left_alone(telemetry):
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
