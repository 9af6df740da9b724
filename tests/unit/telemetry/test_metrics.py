from __future__ import annotations

import pytest

from sba_telemetry import ForbiddenLabel, MetricConflict, counter, gauge, histogram, tally
from sba_telemetry.sdk import configure_telemetry


def rendered(telemetry) -> list[str]:
    return telemetry.render_metrics()[0].decode().splitlines()


def test_metrics_are_rendered_as_prometheus_text(telemetry):
    counter("sba.test.hits", description="Hits").add(2, {"route": "/v1/runs", "ok": True})
    gauge("sba.test.open", description="Open").set(7)
    histogram("sba.test.duration", unit="s", description="Duration").record(0.02, {"method": "GET"})
    lines = rendered(telemetry)
    assert 'sba_test_hits_total{ok="true",route="/v1/runs"} 2.0' in lines
    assert "sba_test_open 7.0" in lines or "sba_test_open_ratio 7.0" in lines
    assert 'sba_test_duration_seconds_bucket{le="0.01",method="GET"} 0.0' in lines
    assert 'sba_test_duration_seconds_bucket{le="0.025",method="GET"} 1.0' in lines
    assert telemetry.render_metrics()[1].startswith("text/plain")


def test_a_histogram_takes_its_own_buckets(telemetry):
    histogram("sba.test.sizes", unit="By", description="Sizes", buckets=[10, 100]).record(50)
    assert 'sba_test_sizes_bytes_bucket{le="100.0"} 1.0' in rendered(telemetry)


def test_the_process_is_named(telemetry):
    counter("sba.test.hits", description="Hits").add()
    assert any(
        'service_name="test"' in line for line in rendered(telemetry) if line.startswith("target_info")
    )


@pytest.mark.parametrize(
    "label",
    ["tenant", "tenant_id", "tenantId", "tenant_slug", "run", "run_id", "job", "job_id", "user", "user_id",
     "user_agent", "key", "cache_key", "id", "request_id", "trace_id", "session", "uuid", "client_ip",
     "token_hash", "sba.run_id", "", "_"],
)  # fmt: skip
def test_unbounded_labels_are_refused_by_every_instrument(label):
    records = [
        counter("sba.test.hits", description="Hits").add,
        gauge("sba.test.open", description="Open").set,
        histogram("sba.test.duration", unit="s", description="Duration").record,
    ]
    for record in records:
        with pytest.raises(ForbiddenLabel) as refused:
            record(1, {"route": "x", label: "y"})
        assert refused.value.label == label
        assert refused.value.metric.startswith("sba.test.")


@pytest.mark.parametrize(
    "label", ["route", "method", "status", "status_code", "run_status", "operation", "reason"]
)
def test_bounded_labels_are_accepted(label):
    counter("sba.test.hits", description="Hits").add(1, {label: "x"})


def test_declaring_the_same_metric_again_returns_it():
    first = counter("sba.test.again", description="Again")
    assert counter("sba.test.again", description="Again") is first


def test_declaring_it_differently_is_refused():
    counter("sba.test.conflict", description="One")
    with pytest.raises(MetricConflict) as refused:
        counter("sba.test.conflict", description="Other")
    assert refused.value.metric == "sba.test.conflict"
    with pytest.raises(MetricConflict):
        gauge("sba.test.conflict", description="One")


def test_without_an_sdk_recording_does_nothing():
    counter("sba.test.hits", description="Hits").add()


def test_each_configuration_counts_from_zero():
    hits = counter("sba.test.fresh", description="Fresh")
    for _ in range(2):
        telemetry = configure_telemetry(service="test")
        hits.add(1)
        assert "sba_test_fresh_total 1.0" in rendered(telemetry)
        telemetry.shutdown()
        hits.add(1)


def test_a_tally_is_read_when_metrics_are_collected(telemetry):
    hits = tally("sba.test.tallied", description="Tallied")
    cell = hits.cell({"namespace": "a", "outcome": "hit"})
    cell.count += 3
    assert hits.cell({"outcome": "hit", "namespace": "a"}) is cell
    assert tally("sba.test.tallied", description="Tallied") is hits
    line = 'sba_test_tallied_total{namespace="a",outcome="hit"}'
    assert f"{line} 3.0" in rendered(telemetry)
    cell.count += 1
    assert f"{line} 4.0" in rendered(telemetry)


def test_a_tally_refuses_unbounded_labels_and_another_meaning():
    hits = tally("sba.test.tallied", description="Tallied")
    with pytest.raises(ForbiddenLabel):
        hits.cell({"tenant": "acme"})
    with pytest.raises(MetricConflict):
        counter("sba.test.tallied", description="Tallied")


def test_a_gauge_set_before_anyone_measures_is_seen_afterwards(telemetry):
    gauge("sba.test.level", description="Level").set(2, {"breaker": "early"})
    later = configure_telemetry(service="later")
    try:
        assert any(
            line.startswith("sba_test_level") and 'breaker="early"' in line and line.endswith(" 2.0")
            for line in rendered(later)
        )
    finally:
        later.shutdown()
