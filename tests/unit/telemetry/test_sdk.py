from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sba_telemetry import counter, extract, span, trace_id
from sba_telemetry.sdk import RedactingExporter, configure_telemetry


class Collector:
    """An OTLP/HTTP collector that keeps what it is sent."""

    def __init__(self) -> None:
        received = self.received = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                received.append((self.path, self.rfile.read(size), dict(self.headers)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
                """Keep quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def paths(self) -> set[str]:
        return {path for path, _, _ in self.received}


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    thread = threading.Thread(target=running.server.serve_forever)
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


@pytest.mark.parametrize("slash", ["", "/"])
def test_spans_and_metrics_reach_the_collector_clean(collector, slash, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    telemetry = configure_telemetry(
        service="api", otlp_endpoint=collector.url + slash, resource={"deployment.environment.name": "test"}
    )
    with span("work", attributes={"password": "hunter2"}):
        counter("sba.test.hits", description="Hits").add(1)
    telemetry.shutdown()
    assert collector.paths() == {"/v1/traces", "/v1/metrics"}
    body = next(body for path, body, _ in collector.received if path == "/v1/traces")
    request = ExportTraceServiceRequest.FromString(body)
    (sent,) = request.resource_spans
    resource = {item.key: item.value.string_value for item in sent.resource.attributes}
    assert resource == {"service.name": "api", "deployment.environment.name": "test"}
    assert sent.scope_spans[0].spans[0].name == "work"
    assert all(b"hunter2" not in body for _, body, _ in collector.received)


def test_no_trace_is_sampled_at_ratio_zero_unless_the_caller_asked():
    exporter = InMemorySpanExporter()
    telemetry = configure_telemetry(service="x", sample_ratio=0.0, span_exporter=exporter)
    with span("own"):
        assert trace_id() is not None
    with extract({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}), span("asked"):
        pass
    telemetry.shutdown()
    assert [done.name for done in exporter.get_finished_spans()] == ["asked"]


def test_it_can_be_configured_shut_down_and_configured_again():
    names = []
    for turn in range(3):
        exporter = InMemorySpanExporter()
        telemetry = configure_telemetry(service="x", span_exporter=exporter)
        with span(f"turn {turn}"):
            pass
        names += [done.name for done in exporter.get_finished_spans()]
        telemetry.shutdown()
        telemetry.shutdown()
        with span("unseen"):
            assert trace_id() is None
    assert names == ["turn 0", "turn 1", "turn 2"]


def test_shutting_down_an_earlier_configuration_leaves_the_later_one_in_use():
    first = configure_telemetry(service="first")
    second = configure_telemetry(service="second")
    first.shutdown()
    with span("work"):
        assert trace_id() is not None
    second.shutdown()


def test_an_exporter_is_flushed_and_shut_down_through_its_redaction():
    exporter = InMemorySpanExporter()
    wrapped = RedactingExporter(exporter)
    assert wrapped.force_flush()
    wrapped.shutdown()
    telemetry = configure_telemetry(service="x", span_exporter=exporter)
    with span("late"):
        pass
    telemetry.shutdown()
    assert exporter.get_finished_spans() == ()
