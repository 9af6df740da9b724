"""Whose value, of which kind, for which question."""

from __future__ import annotations

import hashlib
from typing import TypeAlias
from uuid import UUID

Part: TypeAlias = str | int | bytes | bool | float | UUID | tuple["Part", ...] | None
TenantId: TypeAlias = UUID | str

_ESCAPES = str.maketrans({"%": "%25", ":": "%3A", "{": "%7B", "}": "%7D"})


class CacheKey:
    """Tenant, namespace and parts, compared and stored as a tuple.

    The type of a part counts: `1`, `"1"` and `True` are different questions.

    Args:
        tenant_id: Whose value it is.
        namespace: The kind of value; what one `invalidate` makes stale together.
        *parts: The question, of any length: only its hash is stored.
    """

    __slots__ = ("namespace", "parts", "redis_key", "tenant_id", "version_key")

    def __init__(self, tenant_id: TenantId, namespace: str, *parts: Part) -> None:
        self.tenant_id = str(tenant_id)
        self.namespace = namespace
        self.parts = parts
        slot = _slot(self.tenant_id, namespace)
        self.version_key = f"{slot}:v"
        """Where the version of the tenant's namespace is stored."""
        self.redis_key = f"{slot}:{_digest(parts)}"
        """Where the value is stored, in the same hash slot as its version."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CacheKey) and self.redis_key == other.redis_key

    def __hash__(self) -> int:
        return hash(self.redis_key)

    def __repr__(self) -> str:
        words = (self.tenant_id, self.namespace, *self.parts)
        return f"CacheKey({', '.join(repr(word) for word in words)})"


def version_key(tenant_id: TenantId, namespace: str) -> str:
    """Where the version of a tenant's namespace is stored.

    Raises:
        ValueError: The tenant or namespace is empty.
    """
    return f"{_slot(str(tenant_id), namespace)}:v"


def _slot(tenant_id: str, namespace: str) -> str:
    if not tenant_id or not namespace:
        raise ValueError("tenant_id and namespace must not be empty")
    return f"sba:cache:{{{tenant_id.translate(_ESCAPES)}:{namespace.translate(_ESCAPES)}}}"


def _digest(parts: tuple[Part, ...]) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
