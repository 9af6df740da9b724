"""Namespaces beyond a number are counted together."""

from __future__ import annotations

import pytest

from sba_cache import metrics


def test_a_namespace_has_one_meter_and_the_last_ones_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_meters", {})
    monkeypatch.setattr(metrics, "NAMESPACES", 2)
    one, two = metrics.meter_of("one"), metrics.meter_of("two")
    assert metrics.meter_of("one") is one
    assert (one.namespace, two.namespace) == ("one", "two")
    assert metrics.meter_of("three") is metrics.meter_of("four")
    assert metrics.meter_of("three").namespace == "other"


def test_a_namespace_without_utf8_is_shown_all_the_same() -> None:
    assert metrics.meter_of("half \ud800").namespace.encode() == b"half \\ud800"
