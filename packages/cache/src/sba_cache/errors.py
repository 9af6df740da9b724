"""What using the cache fails with; Redis being away is never an error of `get_or_load`.

CacheError
├── NotCacheable      values of this type cannot be encoded
│   └── NotOfType     a value is not of its type
├── LoadTimeout       a loader took longer than its policy's `hard_timeout`
└── LoadsItself       a loader asked for the value it is loading
"""

from __future__ import annotations


class CacheError(Exception):
    """Anything this package raises."""


class NotCacheable(CacheError, TypeError):
    """Values of this type have no encoding.

    Attributes:
        type_name: The type asked for.
    """

    def __init__(self, type_name: str, reason: str = "msgspec knows no encoding for it and back") -> None:
        super().__init__(f"{type_name} cannot be cached: {reason}")
        self.type_name = type_name


class NotOfType(NotCacheable):
    """A value, or something in it, is not of the type it was to be kept as.

    Attributes:
        type_name: The type asked for.
        value_type: The class of the value.
    """

    def __init__(self, type_name: str, value_type: str) -> None:
        super().__init__(type_name, f"the value, a {value_type}, or something in it is not of this type")
        self.value_type = value_type


class LoadTimeout(CacheError, TimeoutError):
    """A loader took too long and was cancelled.

    Attributes:
        namespace: The kind of value.
        limit: Seconds it was given.
    """

    def __init__(self, namespace: str, limit: float) -> None:
        super().__init__(f"a load of {namespace} took longer than {limit:.3f} s")
        self.namespace = namespace
        self.limit = limit


class LoadsItself(CacheError, RuntimeError):
    """A loader asked for the value it is loading, which would wait for ever.

    Attributes:
        namespace: The kind of value.
    """

    def __init__(self, namespace: str) -> None:
        super().__init__(f"a load of {namespace} asked for its own value")
        self.namespace = namespace
