"""What using the cache wrongly fails with; Redis being away is never an error of `get_or_load`.

CacheError
└── NotCacheable      values of this type cannot be encoded
"""

from __future__ import annotations


class CacheError(Exception):
    """Anything this package raises."""


class NotCacheable(CacheError, TypeError):
    """Values of this type have no encoding.

    Attributes:
        type_name: The type asked for.
    """

    def __init__(self, type_name: str) -> None:
        super().__init__(f"{type_name} cannot be cached: msgspec knows no encoding for it")
        self.type_name = type_name
