"""The public contract."""

from __future__ import annotations

import sba_ratelimit


def test_what_is_exported_is_sorted_and_there() -> None:
    assert sba_ratelimit.__all__ == sorted(sba_ratelimit.__all__, key=lambda name: (name.lower(), name)) or (
        sba_ratelimit.__all__ == sorted(sba_ratelimit.__all__)
    )
    assert all(hasattr(sba_ratelimit, name) for name in sba_ratelimit.__all__)
