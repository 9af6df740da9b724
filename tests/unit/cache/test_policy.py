"""Settings that make no sense are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest

from sba_cache import CacheSettings, Compress, LoadTimeout, Policy, policy


@pytest.mark.parametrize(
    "wrong",
    [
        {"stale": -1.0},
        {"fail_safe": -1.0},
        {"early": -0.1},
        {"hold": -1.0},
        {"jitter": 1.0},
        {"jitter": -0.1},
        {"soft_timeout": 0.0},
        {"hard_timeout": 0.0},
        {"negative_ttl": 0.0},
    ],
)
def test_a_policy_is_within_its_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least 0|above 0"):
        Policy(**wrong)


def test_a_value_is_kept_for_the_longest_use_of_it() -> None:
    assert Policy(stale=10.0, fail_safe=60.0).beyond == 60.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"l1_bytes": -1},
        {"l1_entries": -1},
        {"window": 0.0},
        {"lease": 0.0},
        {"version_ttl": 0.0},
        {"outage_loads": 0},
        {"outage_queue": -1},
    ],
)
def test_settings_are_within_their_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|above 0"):
        CacheSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"level": 0}, {"level": 20}, {"threshold": -1}])
def test_compression_is_within_zstds_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="level"):
        Compress(**wrong)


def test_compression_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "INSTALLED", False)
    with pytest.raises(ModuleNotFoundError, match=r"sba-cache\[zstd\]"):
        Compress()


def test_a_load_that_took_too_long_says_of_what_and_how_long() -> None:
    error = LoadTimeout("knowledge", 0.5)
    assert str(error) == "a load of knowledge took longer than 0.500 s"
    assert isinstance(error, TimeoutError)
