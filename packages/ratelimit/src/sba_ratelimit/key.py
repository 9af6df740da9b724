"""Where something that is counted for a key is stored."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

KeyPart: TypeAlias = str | int | UUID
Key: TypeAlias = tuple[KeyPart, ...]

KEY_LENGTH = 200
TAG_LENGTH = 100
_LONGEST_PREFIX = len("sba:rls:")
_SURROGATES = {code: f"%u{code:X}" for code in range(0xD800, 0xE000)}  # no bytes of UTF-8 stand for them
_ESCAPES = str.maketrans({"%": "%25", ":": "%3A", "{": "%7B", "}": "%7D"}) | _SURROGATES
_DIGEST = "%~"  # no escape begins so


def check_names(name: str, key: Key) -> None:
    """Refuse what could not be stored or shown.

    Raises:
        ValueError: The key is empty or has an empty part.
    """
    if not key or "" in key:
        raise ValueError(f"the key of limit {name!r} has at least one part and no empty ones")


@lru_cache(maxsize=8192)
def stored_at(name: str, key: Key) -> str:
    """The part of a Redis key after its prefix: no two names and keys that read differently share one.

    The first two parts of the key are the hash tag, whatever comes after them.
    """
    parts = [_text(part) for part in key]
    tag = _at_most(TAG_LENGTH, ":".join(parts[:2]))
    rest = ":".join([name.translate(_ESCAPES), *parts[2:]])
    return f"{{{tag}}}:{_at_most(KEY_LENGTH - _LONGEST_PREFIX - len(tag) - 3, rest)}"


def hash_tag(stored: str) -> str:
    """What chooses the slot on a cluster."""
    return stored.partition("}")[0].partition("{")[2]


def _text(part: KeyPart) -> str:
    """The text of one part: parts that are equal in Python have the same, as have `1` and `"1"`."""
    if isinstance(part, str):
        return str.translate(part, _ESCAPES)
    return str(part if isinstance(part, UUID) else int(part))


def _at_most(length: int, text: str) -> str:
    if len(text) <= length:
        return text
    return _DIGEST + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
