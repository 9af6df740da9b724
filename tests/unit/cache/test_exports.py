"""The public contract."""

from __future__ import annotations

import sba_cache


def test_what_is_exported_is_sorted_and_there() -> None:
    assert sba_cache.__all__ == sorted(sba_cache.__all__, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(sba_cache, name) for name in sba_cache.__all__)
