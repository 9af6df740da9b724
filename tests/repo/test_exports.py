"""What a member exports is what it promises, and nothing else."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from tools.lints.members import member_folders

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = [f"sba_{folder.name}" for folder in member_folders(ROOT)]


def strays(module: ModuleType) -> set[str]:
    """Public names of a module that are not modules and not in its `__all__`."""
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    return public - set(module.__all__) - {"annotations"}


def missing(module: ModuleType) -> set[str]:
    """Names that `__all__` promises and the module lacks."""
    return {name for name in module.__all__ if not hasattr(module, name)}


@pytest.mark.parametrize("name", MEMBERS)
def test_exports_equal_all(name: str) -> None:
    module = importlib.import_module(name)
    assert missing(module) == set()
    assert strays(module) == set()
    assert len(module.__all__) == len(set(module.__all__))


def test_a_stray_and_a_missing_name_are_seen() -> None:
    planted = ModuleType("planted")
    vars(planted).update(__all__=["promised"], stray=lambda: None)
    assert strays(planted) == {"stray"}
    assert missing(planted) == {"promised"}


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in {"sba_api", "sba_ws", "sba_local"}])
def test_every_error_of_a_library_has_one_root_drawn_at_the_top(name: str) -> None:
    errors = importlib.import_module(f"{name}.errors")
    tree = inspect.getdoc(errors) or ""
    own = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    ]
    raised = [value for value in own if issubclass(value, Exception)]
    assert raised
    for error in raised:
        assert error.__name__.startswith("_") or error.__name__ in tree, (
            f"{error.__name__} is not drawn at the top of {errors.__name__}"
        )
