"""Knowledge: documents and the search over them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from sba_api import schemas
from sba_api.answers import JsonAnswer
from sba_api.dependencies import Caller, CurrentCaller, path_id
from sba_api.pages import Cursor, PageSize, page_document
from sba_api.problems import ProblemError, not_found
from sba_api.routing import TenantRoute
from sba_cache import CacheKey
from sba_db import audit_logs
from sba_db.errors import MembershipDenied
from sba_db.sessions import TenantSession
from sba_knowledge import Document, Hit, StoredDocument, documents, ingest, search
from sba_resilience import RedisError
from sba_telemetry import get_logger

router = APIRouter(route_class=TenantRoute, tags=["knowledge"])

_NAMESPACE = "knowledge"
_log = get_logger(__name__)
_SEARCH_TTL = 30.0
_NO_DOCUMENT = not_found("document")


@router.post("/v1/knowledge/documents", status_code=201, response_model=schemas.Document)
async def add_document(caller: CurrentCaller, body: schemas.AddDocument) -> JsonAnswer:
    """Store a document and make it searchable."""
    document = Document(title=body.title, content=body.content, metadata=body.metadata)

    async def add(session: TenantSession) -> StoredDocument:
        stored = await ingest.add(session, document, created_by=caller.user_id)
        await _audit(session, caller, "document.create", stored.id)
        return stored

    stored = await caller.write(add)
    await _forget_answers(caller)
    headers = {"Location": f"/v1/knowledge/documents/{stored.id}"}
    return JsonAnswer(_document(stored), status=201, headers=headers)


@router.get("/v1/knowledge/documents", response_model=schemas.Page[schemas.Document])
async def list_documents(caller: CurrentCaller, limit: PageSize = 50, cursor: Cursor = None) -> JsonAnswer:
    """Documents, newest first, without their text."""
    page = await documents.list(caller.reader(), limit=limit, cursor=cursor)
    return JsonAnswer(page_document(page, _document))


@router.get("/v1/knowledge/documents/{document_id}", response_model=schemas.FullDocument)
async def get_document(caller: CurrentCaller, document_id: str) -> JsonAnswer:
    """One document with its text."""
    stored = await documents.get(caller.reader(), path_id(document_id, "document"))
    if stored is None:
        raise ProblemError(_NO_DOCUMENT)
    return JsonAnswer({**_document(stored), "content": stored.content})


@router.delete("/v1/knowledge/documents/{document_id}", status_code=204)
async def delete_document(caller: CurrentCaller, document_id: str) -> Response:
    """Remove a document and its passages."""
    found = path_id(document_id, "document")

    async def delete(session: TenantSession) -> None:
        if not await documents.delete(session, found):
            raise ProblemError(_NO_DOCUMENT)
        await _audit(session, caller, "document.delete", found)

    await caller.write(delete)
    await _forget_answers(caller)
    return Response(status_code=204)


@router.post("/v1/knowledge/search", response_model=schemas.SearchResult)
async def search_documents(caller: CurrentCaller, body: schemas.SearchDocuments) -> JsonAnswer:
    """Passages that answer a question, best first."""
    return JsonAnswer(await _find(caller, body))


async def _find(caller: Caller, asked: schemas.SearchDocuments) -> dict[str, Any]:
    """A fresh answer, or a remembered one that was checked; either proves the membership on its way."""
    searched = False

    async def search_now() -> dict[str, Any]:
        nonlocal searched
        searched = True
        hits = await search.query(caller.reader(), asked.query, limit=asked.limit, mode=asked.mode)
        return {"items": [_hit(hit) for hit in hits], "mode": hits.mode, "degraded": hits.degraded}

    key = CacheKey(caller.tenant_id, _NAMESPACE, "search", asked.mode, str(asked.limit), asked.query)
    try:
        found = await caller.resources.cache.get_or_load(
            key, search_now, ttl=_SEARCH_TTL, type=dict[str, Any]
        )
    except MembershipDenied:
        if searched:
            raise
        return await search_now()  # it was denied to an outsider who asked the same at the same moment
    if searched or await _still_holds(caller, found):
        return found
    await _forget_answers(caller)
    return await search_now()


async def _still_holds(caller: Caller, found: dict[str, Any]) -> bool:
    """Whether every document of a remembered answer is still there, for a live member to see."""
    ids = {UUID(item["document_id"]) for item in found["items"]}
    return await documents.existing(caller.reader(), ids) == ids


async def _forget_answers(caller: Caller) -> None:
    """Forget what the tenant was told before a change.

    Without Redis the remembered answers live on for their few seconds. They may then miss a document that
    was added; one that was deleted is never served, for every remembered answer is checked against the rows.
    """
    try:
        await caller.resources.cache.invalidate(caller.tenant_id, _NAMESPACE)
    except RedisError as error:
        _log.warning("knowledge.not_invalidated", reason=type(error).__name__)


async def _audit(session: TenantSession, caller: Caller, action: str, document_id: UUID) -> None:
    await audit_logs.write_audit(
        session,
        actor_id=caller.user_id,
        action=action,
        resource_type="document",
        resource_id=str(document_id),
        request_id=caller.request_id,
    )


def _document(stored: StoredDocument) -> dict[str, Any]:
    return {
        "id": stored.id,
        "title": stored.title,
        "metadata": stored.metadata,
        "chunk_count": stored.chunk_count,
        "created_at": stored.created_at,
    }


def _hit(hit: Hit) -> dict[str, Any]:
    return {
        "document_id": str(hit.document_id),
        "title": hit.title,
        "chunk_id": str(hit.chunk_id),
        "passage": hit.passage,
        "score": hit.score,
        "ranks": dict(hit.ranks),
    }
