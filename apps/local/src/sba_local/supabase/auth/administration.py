"""What the service role may do with users."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sba_local.supabase.auth import errors, users
from sba_local.supabase.auth.bodies import body_of
from sba_local.supabase.auth.identity import require_service_role
from sba_local.supabase.auth.users import User, Wishes
from sba_local.supabase.connections import Connections

_PER_PAGE: Final = 50
_MOST_PER_PAGE: Final = 1000


class Administration:
    """`/admin/users`.

    Args:
        connections: of a login that owns schema `auth`.
        now: what time it is.
    """

    def __init__(self, connections: Connections, now: Callable[[], datetime]) -> None:
        self._connections = connections
        self._now = now

    def routes(self, path: str) -> Sequence[Route]:
        """Where it is served."""
        one = f"{path}/{{user_id}}"
        return [
            Route(path, self._create, methods=["POST"]),
            Route(path, self._list, methods=["GET"]),
            Route(one, self._show, methods=["GET"]),
            Route(one, self._change, methods=["PUT"]),
            Route(one, self._remove, methods=["DELETE"]),
        ]

    async def _create(self, request: Request) -> Response:
        require_service_role(request)
        body = await body_of(request)
        chosen = _id_of(body["id"]) if body.get("id") else None
        wishes = _wishes(body)
        if wishes.email is None:
            raise errors.invalid("Cannot create a user without either an email or phone")
        async with self._connections.lend() as connection:
            user = await users.add(connection, wishes, self._now(), user_id=chosen)
        if user is None:
            raise errors.email_taken()
        return JSONResponse(user.document())

    async def _list(self, request: Request) -> Response:
        require_service_role(request)
        page = _number(request, "page", 1, most=10**6)
        per_page = _number(request, "per_page", _PER_PAGE, most=_MOST_PER_PAGE)
        async with self._connections.lend() as connection:
            found, total = await users.page(connection, limit=per_page, offset=(page - 1) * per_page)
        document = {"users": [user.document() for user in found], "aud": "authenticated"}
        return JSONResponse(
            document, headers={"x-total-count": str(total), "link": _links(page, per_page, total)}
        )

    async def _show(self, request: Request) -> Response:
        require_service_role(request)
        async with self._connections.lend() as connection:
            return _answer(await users.find(connection, user_id=_id_of(request.path_params["user_id"])))

    async def _change(self, request: Request) -> Response:
        require_service_role(request)
        user_id, wishes = _id_of(request.path_params["user_id"]), _wishes(await body_of(request))
        async with self._connections.lend() as connection:
            return _answer(await users.change(connection, user_id, wishes, self._now()))

    async def _remove(self, request: Request) -> Response:
        require_service_role(request)
        user_id, body = _id_of(request.path_params["user_id"]), await body_of(request)
        softly = body.get("should_soft_delete") is True
        async with self._connections.lend() as connection:
            if not await users.remove(connection, user_id, self._now(), softly=softly):
                raise errors.user_missing()
        return JSONResponse({})


def _wishes(body: Mapping[str, Any]) -> Wishes:
    email, password = body.get("email"), body.get("password")
    return Wishes(
        email=users.email_of(email) if email else None,
        password=users.password_of(password) if password else None,
        app_metadata=users.metadata_of(body.get("app_metadata")),
        user_metadata=users.metadata_of(body.get("user_metadata")),
        confirm=body.get("email_confirm") is True,
        ban=str(body["ban_duration"]) if body.get("ban_duration") else None,
        role=_role_of(body.get("role")),
    )


def _role_of(value: object) -> str | None:
    """A database role that a user may have: never one above row-level security."""
    if value in (None, ""):
        return None
    if value not in ("authenticated", "anon"):
        raise errors.invalid("This stand-in knows the roles authenticated and anon")
    return str(value)


def _id_of(value: object) -> uuid.UUID:
    try:
        return uuid.UUID(str(value))
    except ValueError:
        raise errors.AuthRefusal(404, "validation_failed", "user_id must be an UUID") from None


def _number(request: Request, name: str, otherwise: int, *, most: int) -> int:
    text = request.query_params.get(name) or str(otherwise)
    if not text.isascii() or not text.isdigit():
        raise errors.invalid(f"Bad Pagination Parameters: {name} is a whole number")
    return min(max(int(text[:12]), 1), most)


def _links(page: int, per_page: int, total: int) -> str:
    last = max(1, -(-total // per_page))
    wanted = {"next": page + 1, "last": last} if page < last else {"last": last}
    return ", ".join(
        f'</admin/users?page={number}&per_page={per_page}>; rel="{name}"' for name, number in wanted.items()
    )


def _answer(user: User | None) -> Response:
    if user is None:
        raise errors.user_missing()
    return JSONResponse(user.document())
