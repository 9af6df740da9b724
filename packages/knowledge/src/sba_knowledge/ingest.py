"""Making a document searchable."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from sba_db import TenantSession
from sba_knowledge import store
from sba_knowledge.chunking import split
from sba_knowledge.document import Document, StoredDocument
from sba_telemetry.traces import span

_LONG: Final = 32 * 1024


async def add(
    session: TenantSession, document: Document, *, created_by: UUID | None = None
) -> StoredDocument:
    """Cut a document into passages and store both, in the session's transaction and one round trip.

    Args:
        session: The tenant's transaction; the document is found by search once it commits.
        document: What to store.
        created_by: The user who adds it.

    Returns:
        The stored document, without its text.

    Raises:
        DatabaseError: Nothing was stored; see `sba_db.errors`.
    """
    with span("knowledge.ingest", attributes={"sba.knowledge.characters": len(document.content)}) as here:
        passages = await _passages(document.content)
        here.set_attribute("sba.knowledge.passages", len(passages))
        return await store.add(session, document, passages=passages, created_by=created_by)


async def _passages(content: str) -> list[str]:
    if len(content) < _LONG:
        return split(content)
    return await asyncio.to_thread(split, content)
