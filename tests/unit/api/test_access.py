"""The access line: JSON, complete, and free of what a client writes."""

import io
import json
import logging

import pytest

from sba_api import access
from sba_telemetry import bind, span
from sba_telemetry.sdk import configure_telemetry


@pytest.fixture
def stream():
    written = io.StringIO()
    logger = logging.getLogger(access.LOGGER)
    before = logger.level
    logger.setLevel(logging.INFO)
    access.configure(service="sba-api", stream=written)
    yield written
    access.configure(service="sba-api", stream=None)
    logger.setLevel(before)


def exchange(status=200):
    return access.Exchange("request-0001", "GET", "/v1/runs/{run_id}", status, 0.0123)


def test_a_line_has_what_every_other_line_has_and_what_was_answered(stream):
    telemetry = configure_telemetry(service="test")
    with bind(request_id="request-0001"), span("GET"):
        access.write(exchange())
    telemetry.shutdown()
    line = json.loads(stream.getvalue())
    assert stream.getvalue().endswith("}\n")
    assert line.pop("timestamp").endswith("+00:00")
    assert len(line.pop("trace_id")) == 32
    assert len(line.pop("span_id")) == 16
    assert line == {
        "service": "sba-api",
        "logger": "sba_api.access",
        "level": "info",
        "event": "request",
        "method": "GET",
        "route": "/v1/runs/{run_id}",
        "status": 200,
        "duration_ms": 12.3,
        "request_id": "request-0001",
    }


def test_a_server_error_is_a_warning(stream):
    access.write(exchange(503))
    assert json.loads(stream.getvalue())["level"] == "warning"


def test_lines_below_the_level_are_not_written(stream):
    logging.getLogger(access.LOGGER).setLevel(logging.WARNING)
    access.write(exchange())
    assert stream.getvalue() == ""


def test_outside_a_service_lines_go_where_other_log_lines_go(caplog):
    caplog.set_level(logging.INFO)
    access.write(exchange())
    assert json.loads(caplog.messages[0])["route"] == "/v1/runs/{run_id}"
