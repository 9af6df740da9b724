"""Routes that cannot be reached without a caller, a tenant and a share of its limits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sba_api.bodies import parse_json
from sba_api.dependencies import CALLER, admit, caller_of, settle
from sba_api.problems import NOT_JSON, ProblemError

Endpoint = Callable[..., Coroutine[Any, Any, Response]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRequest(Request):
    """A request whose JSON is parsed by our rules."""

    async def json(self) -> Any:  # noqa: ANN401 - JSON is any value until a model has seen it
        """The body's value, or a 422 problem."""
        return parse_json(await self.body())


class TenantRoute(APIRoute):
    """Authenticates, picks the tenant and charges its limits before a body is read or a parameter judged.

    An endpoint that asks for nothing but its caller and parts of its path is called directly: FastAPI would
    have nothing to parse for it, and its answer is a finished response.
    """

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        super().__init__(path, endpoint, **options)
        if _takes_path_only(self.dependant):
            self.app = _direct(endpoint)

    def get_route_handler(self) -> Handler:
        """The handler FastAPI calls for this route."""
        inner = super().get_route_handler()
        has_body = self.body_field is not None

        async def admitted(request: Request) -> Response:
            caller, headers = await admit(request.scope)
            request.scope[CALLER] = caller
            try:
                response = await inner(_strict(request) if has_body else request)
            except Exception as error:
                await settle(caller, error)
                raise
            response.raw_headers.extend(headers)
            return response

        return admitted


def _takes_path_only(dependant: Dependant) -> bool:
    parsed = (dependant.query_params, dependant.header_params, dependant.cookie_params, dependant.body_params)
    return not any(parsed) and [each.call for each in dependant.dependencies] == [caller_of]


def _direct(endpoint: Endpoint) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        caller, headers = await admit(scope)
        try:
            response = await endpoint(caller, **scope["path_params"])
        except Exception as error:
            await settle(caller, error)
            raise
        response.raw_headers.extend(headers)
        await response(scope, receive, send)

    return app


def _strict(request: Request) -> StrictRequest:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError(NOT_JSON)
    return StrictRequest(request.scope, request.receive)
