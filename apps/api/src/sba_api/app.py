"""The application: routes, middleware and error table put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.responses import HTMLResponse

from sba_api import docs, limits, problems
from sba_api.middleware import BodyLimit, Cors, Observe, TimeLimit
from sba_api.resources import limiter_of, open_resources
from sba_api.routes import ROUTERS
from sba_api.settings import ApiSettings
from sba_ratelimit import RateLimitMiddleware

_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own: `Observe` does that work, with our labels and redaction."""


class Api(FastAPI):
    """The service; its OpenAPI document says how to authenticate and what an error looks like."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if not self.openapi_schema:
            self.openapi_schema = docs.complete(super().openapi())
        return self.openapi_schema


def create_app(settings: ApiSettings) -> FastAPI:
    """The service as it ships. Resources open with the lifespan.

    Args:
        settings: Where its dependencies are, and its bounds.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(settings) as resources:
            app.state.resources = resources
            yield

    app = Api(
        title="SBA",
        version="0.1.0",
        summary="Runs, tools and knowledge of a multi-tenant agent platform.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    _add_docs(app)
    for kind in problems.TABLE:
        app.add_exception_handler(kind, problems.answer_error)
    _add_middleware(app, settings)
    return app


def _add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def show_docs() -> HTMLResponse:
        return HTMLResponse(docs.page(app.openapi()))


def _add_middleware(app: FastAPI, settings: ApiSettings) -> None:
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(TimeLimit, seconds=settings.request_timeout)
    app.add_middleware(
        RateLimitMiddleware,
        limiter=limiter_of,
        limits=limits.address_limits(settings),
        denied=limits.refusal,
        exempt=limits.EXEMPT,
    )
    app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(Observe, docs_policy=docs.POLICY)
