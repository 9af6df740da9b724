"""Health: is the process up, are its dependencies, and its metrics."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sba_api.answers import JsonAnswer
from sba_api.resources import resources_of

router = APIRouter(tags=["health"])

_UNAVAILABLE = "unavailable"


@router.get("/healthz")
async def healthz() -> JsonAnswer:
    """The process answers."""
    return JsonAnswer({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> JsonAnswer:
    """Each dependency and what is missing; 503 when requests cannot be answered."""
    found = await resources_of(request.scope).probe.ask()
    dependencies = {
        name: {"status": "ok"} if reason is None else {"status": "missing", "reason": reason}
        for name, reason in found.dependencies.items()
    }
    body = {"status": found.status, "missing": found.missing, "dependencies": dependencies}
    unavailable = found.status == _UNAVAILABLE
    return JsonAnswer(
        body, status=503 if unavailable else 200, headers={"Retry-After": "1"} if unavailable else None
    )


@router.head("/healthz", include_in_schema=False)
async def healthz_head() -> Response:
    """What GET answers, without its body."""
    return _without_body(await healthz())


@router.head("/readyz", include_in_schema=False)
async def readyz_head(request: Request) -> Response:
    """What GET answers, without its body."""
    return _without_body(await readyz(request))


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Prometheus text; labels never name a tenant, a user or a run."""
    text, media_type = resources_of(request.scope).telemetry.render_metrics()
    return Response(text, media_type=media_type)


def _without_body(answer: Response) -> Response:
    return Response(status_code=answer.status_code, headers=dict(answer.headers))
