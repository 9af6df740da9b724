"""The signing keys of the stand-in, changed step by step as a project's Management API does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sba_local.identity import Issuer
from sba_local.supabase.auth import errors
from sba_local.supabase.auth.bodies import body_of
from sba_local.supabase.auth.errors import AuthRefusal
from sba_local.supabase.auth.identity import require_service_role


class SigningKeys:
    """`/admin/signing-keys`: a path of the stand-in's own, for the service role.

    Args:
        issuer: whose keys they are.
    """

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._steps: Mapping[str, Callable[[], object]] = {
            "announce": issuer.announce,
            "rotate": issuer.rotate,
            "retire": issuer.retire,
        }

    def routes(self, path: str) -> Sequence[Route]:
        """Where it is served."""
        return [Route(path, self._show, methods=["GET"]), Route(path, self._change, methods=["POST"])]

    async def _show(self, request: Request) -> Response:
        require_service_role(request)
        return self._answer()

    async def _change(self, request: Request) -> Response:
        require_service_role(request)
        step = self._steps.get(str((await body_of(request)).get("step")))
        if step is None:
            raise errors.invalid("step must be announce, rotate or retire")
        try:
            step()
        except ValueError as error:
            raise AuthRefusal(409, "conflict", str(error)) from None
        return self._answer()

    def _answer(self) -> Response:
        keys = [{"kid": kid, "status": status} for kid, status in self._issuer.statuses().items()]
        return JSONResponse({"keys": keys})
