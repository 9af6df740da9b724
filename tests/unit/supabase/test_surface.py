"""What the package promises to others."""

from __future__ import annotations

import inspect
import re

import sba_supabase
from sba_supabase import errors


def error_classes() -> list[type[errors.SupabaseError]]:
    found = (member for _, member in inspect.getmembers(errors, inspect.isclass))
    return [
        member
        for member in found
        if issubclass(member, errors.SupabaseError) and not member.__name__.startswith("_")
    ]


def test_all_is_sorted_and_names_what_there_is():
    upper = [name for name in sba_supabase.__all__ if name.isupper()]
    assert sba_supabase.__all__[: len(upper)] == sorted(upper)
    assert all(hasattr(sba_supabase, name) for name in sba_supabase.__all__)


def test_every_error_has_a_code_of_its_own():
    codes = [error.code for error in error_classes()]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z][a-z_]+", code) for code in codes)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    for error in error_classes():
        line = next(line for line in errors.__doc__.splitlines() if re.search(rf"\b{error.__name__}\b", line))
        assert error is errors.SupabaseError or error.code in line or error.__name__ == "SupabaseError"
