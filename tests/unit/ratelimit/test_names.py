"""Few labels, whatever the names."""

from __future__ import annotations

from sba_ratelimit.names import FewNames


def test_only_so_many_names_are_shown() -> None:
    names = FewNames(2)
    assert [names.shown(name) for name in "abcabz"] == ["a", "b", "other", "a", "b", "other"]
