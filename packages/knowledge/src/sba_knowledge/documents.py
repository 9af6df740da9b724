"""The documents of a tenant: read, list, delete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, LiteralString
from uuid import UUID

from sba_db import Page, ReadSession, TenantSession
from sba_db.cursors import decode, encode
from sba_knowledge import store
from sba_knowledge.document import FullDocument, StoredDocument
from sba_knowledge.errors import InvalidField

__all__ = ["PAGE_LIMIT", "FullDocument", "StoredDocument", "delete", "existing", "get", "list"]

PAGE_LIMIT: Final = 200
_CURSOR: Final = "doc"

EXISTING: Final[LiteralString] = """
select id from public.documents where tenant_id = %(tenant)s and id = any(%(ids)s::uuid[])
"""


async def get(reader: ReadSession, document_id: UUID) -> FullDocument | None:
    """Return a document with its text, or None if the tenant has none with this id."""
    return await store.get(reader, document_id)


async def list(  # noqa: A001 - it reads as documents.list
    reader: ReadSession, *, limit: int = 50, cursor: str | None = None
) -> Page[StoredDocument]:
    """Return a page of the tenant's documents, newest first.

    Args:
        reader: Whose documents.
        limit: Size of the page, 1 to 200.
        cursor: `next_cursor` of the page before.

    Raises:
        InvalidField: The limit is out of bounds.
        InvalidCursor: The cursor was not made by this list.
    """
    check_limit(limit, most=PAGE_LIMIT)
    found = await store.newest(reader, before=decode(_CURSOR, cursor), limit=limit + 1)
    more = encode(_CURSOR, found[limit - 1].id) if len(found) > limit else None
    return Page(items=tuple(found[:limit]), next_cursor=more)


async def existing(reader: ReadSession, ids: Iterable[UUID]) -> set[UUID]:
    """Return which of these documents the tenant has, in one round trip; with no ids too, it is made."""
    rows = await reader.fetch_all(EXISTING, {"ids": [*ids]})
    return {row["id"] for row in rows}


async def delete(session: TenantSession, document_id: UUID) -> bool:
    """Delete a document and its passages; False if the tenant has none with this id."""
    return await store.delete(session, document_id)


def check_limit(limit: int, *, most: int) -> None:
    """Refuse a page or result size that is out of bounds.

    Raises:
        InvalidField: It is not between 1 and `most`.
    """
    if not 1 <= limit <= most:
        raise InvalidField("limit", f"must be between 1 and {most}")
