"""Documents as they are given and as they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sba_knowledge.errors import FieldTooLarge, InvalidField

TITLE_LIMIT: Final = 300
CONTENT_LIMIT: Final = 1024 * 1024
METADATA_LIMIT: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """A text that search should know.

    Attributes:
        title: 1 to 300 characters; searched together with every passage.
        content: Plain text, at most 1 MiB of UTF-8.
        metadata: A JSON object of at most 16 KiB, given back as it is.

    Raises:
        InvalidField: A field is blank or too long, or holds what Postgres cannot store; it is named.
        FieldTooLarge: The content or the metadata is over its limit.
    """

    title: str
    content: str = field(repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_text("title", self.title, limit=4 * TITLE_LIMIT)
        if len(self.title) > TITLE_LIMIT:
            raise InvalidField("title", f"is over {TITLE_LIMIT} characters")
        check_text("content", self.content, limit=CONTENT_LIMIT)
        metadata_json(self.metadata)


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document in the tenant's store, without its text.

    Attributes:
        created_by: The user who added it, if known.
        chunk_count: Number of passages it was cut into.
        created_at: When its transaction began, with time zone.
    """

    id: UUID
    title: str
    metadata: dict[str, Any]
    chunk_count: int
    created_at: datetime
    created_by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FullDocument(StoredDocument):
    """A stored document with its text."""

    content: str = field(repr=False)


def check_text(name: str, value: str, *, limit: int) -> None:
    """Refuse a text that cannot be stored or means nothing.

    Raises:
        InvalidField: It is blank, or has a NUL character or a lone surrogate.
        FieldTooLarge: It has more than `limit` bytes of UTF-8.
    """
    if not value.strip():
        raise InvalidField(name, "is empty")
    if "\0" in value:
        raise InvalidField(name, "has a NUL character")
    _check_size(name, value, limit)


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """Return the metadata as JSON text.

    Raises:
        InvalidField: It is not a JSON object, or has a NUL character or a lone surrogate in a text.
        FieldTooLarge: It is over `METADATA_LIMIT` bytes.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidField("metadata", "is not an object")
    try:
        encoded = json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise InvalidField("metadata", "is not JSON") from None
    _check_size("metadata", encoded, METADATA_LIMIT)
    if "\\u0000" in encoded.replace("\\\\", ""):
        raise InvalidField("metadata", "has a NUL character")
    return encoded


def _check_size(name: str, value: str, limit: int) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidField(name, "has a lone surrogate") from None
    if size > limit:
        raise FieldTooLarge(name, limit=limit, size=size)
