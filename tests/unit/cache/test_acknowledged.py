"""Which invalidations are remembered after they were acknowledged."""

from __future__ import annotations

import pytest

from sba_cache import acknowledged
from sba_cache.acknowledged import LATELY, Acknowledged
from tests.integration.cache.answers import Time


def test_each_name_is_remembered_once_and_taken_once() -> None:
    names = Acknowledged(Time())
    for name in ("sba:cv:{a}", "sba:cv:{b}:n:x", "sba:cv:{a}"):
        names.add(name)
    assert names.take() == ["sba:cv:{b}:n:x", "sba:cv:{a}"]
    assert names.take() == []


def test_what_is_no_longer_of_late_is_forgotten() -> None:
    time = Time()
    names = Acknowledged(time)
    names.add("sba:cv:{a}")
    time.now += LATELY / 2
    names.add("sba:cv:{b}")
    time.now += LATELY / 2
    assert names.take() == ["sba:cv:{b}"]


def test_too_many_of_a_tenant_become_one_for_all_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledged, "MOST", 10)
    names = Acknowledged(Time())
    names.add("sba:cv:{quiet}:t:x")
    for n in range(10):
        names.add(f"sba:cv:{{busy}}:n:{n}")
    assert names.take() == ["sba:cv:{quiet}", "sba:cv:{busy}"]


def test_too_many_tenants_cost_the_earliest_and_those_long_ago_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acknowledged, "MOST", 10)
    time = Time()
    names = Acknowledged(time)
    for n in range(35):
        names.add(f"sba:cv:{{{n}}}")
        assert len(names) <= 10
    time.now += LATELY
    for n in range(4):
        names.add(f"sba:cv:{{late {n}}}")
    assert names.take() == [f"sba:cv:{{late {n}}}" for n in range(4)]
