"""Opaque positions in lists that run from new to old."""

from __future__ import annotations

import base64
import binascii
from typing import Final
from uuid import UUID

from sba_db.errors import InvalidCursor

NEWEST: Final = UUID(int=(1 << 128) - 1)


def encode(kind: str, last: UUID) -> str:
    """A cursor for what is older than `last` in the list `kind`."""
    return base64.urlsafe_b64encode(kind.encode() + last.bytes).rstrip(b"=").decode()


def decode(kind: str, cursor: str | None) -> UUID:
    """The id that the page must stay below; no cursor starts at the newest.

    Raises:
        InvalidCursor: Not one that `encode` made for this list.
    """
    if cursor is None:
        return NEWEST
    prefix = kind.encode()
    raw = _raw(cursor)
    if not raw.startswith(prefix) or len(raw) != len(prefix) + 16:
        raise InvalidCursor
    return UUID(bytes=raw[len(prefix) :])


def _raw(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
