"""The public contracts."""

from __future__ import annotations

import inspect

import pytest

import sba_resilience
import sba_resilience.canary
import sba_resilience.redis


@pytest.mark.parametrize("module", [sba_resilience, sba_resilience.canary, sba_resilience.redis])
def test_what_is_exported_is_sorted_and_there(module: object) -> None:
    names = module.__all__
    public = {
        name for name, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)
    }
    assert set(names) == public
    assert len(set(names)) == len(names)
    assert list(names) == sorted(names)
