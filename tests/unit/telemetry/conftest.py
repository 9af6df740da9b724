"""Logging and telemetry taken back after each test."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sba_telemetry import configure_logging, reset_logging
from sba_telemetry.sdk import Telemetry, configure_telemetry


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, object]]]]:
    """JSON logging into memory; call it for the lines so far."""
    stream = io.StringIO()
    level = logging.getLogger().level
    configure_logging(service="test", level="DEBUG", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    reset_logging()
    logging.getLogger().setLevel(level)


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """Every span that ended, recorded."""
    exporter = InMemorySpanExporter()
    telemetry = configure_telemetry(service="test", span_exporter=exporter)
    yield exporter
    telemetry.shutdown()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry without a collector."""
    configured = configure_telemetry(service="test")
    yield configured
    configured.shutdown()
