"""Usage: what a tenant consumed, by the hour."""

from __future__ import annotations

from fastapi import APIRouter

from sba_api import schemas
from sba_api.answers import JsonAnswer
from sba_api.dependencies import CurrentCaller
from sba_api.routing import TenantRoute
from sba_db import usage_metrics

router = APIRouter(route_class=TenantRoute, tags=["usage"])


@router.get("/v1/usage", response_model=schemas.Page[schemas.Usage])
async def list_usage(caller: CurrentCaller) -> JsonAnswer:
    """What this tenant used, newest hour first, on one page."""
    metrics = await usage_metrics.list_usage(caller.reader())
    items = [{"metric": item.metric, "period": item.period, "value": item.value} for item in metrics]
    return JsonAnswer({"items": items, "next_cursor": None})
