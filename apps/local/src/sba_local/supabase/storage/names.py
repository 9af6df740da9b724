"""Which names buckets and objects may have, and which sizes and types a bucket takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sba_local.supabase.storage import errors

MOST: Final = 50 * 1024 * 1024
_CHARACTERS: Final = r"A-Za-z0-9_!\-.*'() &$@=;:+,?"
_KEY: Final = re.compile(rf"[{_CHARACTERS}/]{{1,1024}}")
_BUCKET: Final = re.compile(rf"[{_CHARACTERS}]{{1,100}}")
_SIZE: Final = re.compile(r"(\d+)\s*(B|KB|MB|GB)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3}


def key_of(name: object) -> str:
    """The name of an object.

    Raises:
        StorageRefusal: it can be none.
    """
    if not isinstance(name, str) or not _KEY.fullmatch(name) or _climbs(name):
        raise errors.bad_key(str(name))
    return name


def bucket_of(name: object) -> str:
    """The name of a bucket.

    Raises:
        StorageRefusal: it can be none.
    """
    if not isinstance(name, str) or not _BUCKET.fullmatch(name) or name != name.strip() or _climbs(name):
        raise errors.bad_bucket()
    return name


def size_of(limit: object) -> int | None:
    """A size limit in bytes, None for none.

    Raises:
        StorageRefusal: it is no size.
    """
    match = _SIZE.fullmatch(str(limit).strip()) if limit is not None else None
    if limit is None:
        return None
    if match is None:
        raise errors.invalid("file_size_limit is a number of bytes, or one with a unit")
    return int(match[1]) * _UNITS[(match[2] or "").lower()]


def types_of(types: object) -> list[str] | None:
    """The types a bucket takes, None for all.

    Raises:
        StorageRefusal: it is no list of names.
    """
    if types is None:
        return None
    if not isinstance(types, list) or not all(isinstance(name, str) and "/" in name for name in types):
        raise errors.invalid("allowed_mime_types is a list of types such as image/png or image/*")
    return types


def check_type(kind: str, allowed: Sequence[str] | None) -> None:
    """Nothing, for a type that the bucket takes.

    Raises:
        StorageRefusal: it does not.
    """
    bare = kind.partition(";")[0].strip().lower()
    family = bare.partition("/")[0] + "/*"
    if allowed and not {bare, family, "*/*"} & {name.lower() for name in allowed}:
        raise errors.wrong_type(bare)


def member(body: Mapping[str, Any], name: str) -> str:
    """A text that a request must have.

    Raises:
        StorageRefusal: it has none.
    """
    value = body.get(name)
    if not isinstance(value, str):
        raise errors.invalid(f"body must have required property '{name}'")
    return value


def _climbs(name: str) -> bool:
    return any(part in (".", "..") for part in name.split("/")) or name.startswith("/")
