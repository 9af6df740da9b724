"""Audit: who did what in a tenant."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from sba_api import schemas
from sba_api.answers import JsonAnswer
from sba_api.dependencies import CurrentCaller
from sba_api.pages import Cursor, PageSize, page_document
from sba_api.routing import TenantRoute
from sba_db import audit_logs
from sba_db.models import AuditLog

router = APIRouter(route_class=TenantRoute, tags=["audit"])


@router.get("/v1/audit", response_model=schemas.Page[schemas.AuditEntry])
async def list_audit(caller: CurrentCaller, limit: PageSize = 50, cursor: Cursor = None) -> JsonAnswer:
    """Audit entries, newest first."""
    page = await audit_logs.list_audit(caller.reader(), limit=limit, cursor=cursor)
    return JsonAnswer(page_document(page, _entry))


def _entry(log: AuditLog) -> dict[str, Any]:
    return {
        "id": log.id,
        "actor_id": log.actor_id,
        "action": log.action,
        "resource_type": log.resource_type,
        "resource_id": log.resource_id,
        "before": log.before,
        "after": log.after,
        "request_id": log.request_id,
        "created_at": log.created_at,
    }
