"""Whose value, of which kind, for which question."""

from __future__ import annotations

import hashlib
from typing import Final, Self, TypeAlias
from uuid import UUID

Part: TypeAlias = str | int | bytes | bool | float | UUID | tuple["Part", ...] | None
TenantId: TypeAlias = UUID | str

VERSIONS: Final = "sba:cv:"
"""What the name of every version begins with; nothing else does."""

_ESCAPES = str.maketrans({"%": "%25", ":": "%3A", "{": "%7B", "}": "%7D", "\\": "%5C"})
_MEMO: Final = 4096  # tenants whose text is remembered
_texts: dict[int, str] = {}

_only_plain = frozenset({str, int, bytes, UUID, type(None)}).issuperset
"""Types of which no two have equal values; all others are told apart by their text."""


class CacheKey(tuple[str, str, tuple[Part, ...], str | None]):
    """Tenant, namespace and parts, compared and hashed as a tuple.

    The type of a part counts: `1`, `"1"`, `True` and `1.0` are different questions.

    Args:
        tenant_id: Whose value it is.
        namespace: The kind of value; what one `invalidate` makes stale together.
        *parts: The question, of any length: only its hash is stored.

    Raises:
        ValueError: The tenant or namespace is empty.
        TypeError: A part is of another type, and may have no lasting identity.
    """

    __slots__ = ()

    def __new__(cls, tenant_id: TenantId, namespace: str, *parts: Part) -> Self:  # noqa: D102 - the class says it
        tenant = tenant_id if type(tenant_id) is str else tenant_text(tenant_id)
        if not tenant or not namespace:
            raise ValueError("tenant_id and namespace must not be empty")
        exact = None if _only_plain(map(type, parts)) else _exact(parts)
        return tuple.__new__(cls, (tenant, namespace, parts, exact))

    @property
    def tenant_id(self) -> str:
        """Whose value it is, as text."""
        return self[0]

    @property
    def namespace(self) -> str:
        """The kind of value."""
        return self[1]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The question."""
        return self[2]

    @property
    def digest(self) -> str:
        """What stands for the parts in a name."""
        text = self[3] or repr(self[2])
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @property
    def version_key(self) -> str:
        """Where the version of the tenant's namespace is stored."""
        return version_key(self[0], self[1])

    @property
    def redis_key(self) -> str:
        """Where the value is stored, in the same hash slot as its versions."""
        return f"{value_prefix(self[0], self[1])}{self.digest}"

    @property
    def lease_key(self) -> str:
        """Where the right to load the value is stored."""
        return f"{lease_prefix(self[0], self[1])}{self.digest}"

    def __repr__(self) -> str:
        words = (self[0], self[1], *self[2])
        return f"CacheKey({', '.join(repr(word) for word in words)})"


def tenant_text(tenant_id: TenantId) -> str:
    """A tenant as text; of a UUID it is remembered, because making it takes as long as a hit."""
    if not isinstance(tenant_id, UUID):
        return str(tenant_id)
    text = _texts.get(tenant_id.int)
    if text is None:
        if len(_texts) >= _MEMO:
            _texts.clear()
        text = _texts[tenant_id.int] = str(tenant_id)
    return text


def version_key(tenant_id: TenantId, namespace: str | None = None, *, tag: str | None = None) -> str:
    """Where a version is stored: of all a tenant's values, of one namespace, or of a tag.

    Raises:
        ValueError: The tenant, namespace or tag is empty, or both a namespace and a tag are given.
    """
    tenant = tenant_text(tenant_id)
    if not tenant or "" in (namespace, tag) or None not in (namespace, tag):
        raise ValueError("give a tenant, and a namespace or a tag or neither; none of them empty")
    of_tenant = f"{VERSIONS}{_slot(tenant)}"
    if namespace is not None:
        return f"{of_tenant}:n:{_escaped(namespace)}"
    return of_tenant if tag is None else f"{of_tenant}:t:{_escaped(tag)}"


def check_tags(tags: tuple[str, ...]) -> None:
    """See that tags are what they should be; a text alone would be taken for its letters.

    Raises:
        TypeError: They are no tuple of texts.
    """
    if type(tags) is not tuple or not all(type(tag) is str for tag in tags):
        raise TypeError("tags are a tuple of texts, such as ('catalogue',)")


def touch_key(tenant_id: str, namespace: str) -> str:
    """What is written when single values of a namespace are replaced, so that other nodes look again."""
    return f"{version_key(tenant_id, namespace)}:touch"


def value_prefix(tenant_id: str, namespace: str) -> str:
    """What the names of a namespace's values begin with."""
    return f"sba:ca:{_slot(tenant_id)}:{_escaped(namespace)}:"


def lease_prefix(tenant_id: str, namespace: str) -> str:
    """What the names of a namespace's leases begin with."""
    return f"sba:cl:{_slot(tenant_id)}:{_escaped(namespace)}:"


def _slot(tenant_id: str) -> str:
    return f"{{{_escaped(tenant_id)}}}"


def _escaped(word: str) -> str:
    """As part of a name; half a surrogate pair, which has no UTF-8, is spelt out."""
    return word.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


def _exact(parts: tuple[Part, ...]) -> str:
    _check(parts)
    return repr(parts)


def _check(part: object) -> None:
    if isinstance(part, tuple):
        for inner in part:
            _check(inner)
    elif not isinstance(part, str | int | bytes | float | UUID | None):
        raise TypeError(f"a part of a key cannot be a {type(part).__name__}")
