"""The ASGI application of `/auth/v1`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

import psycopg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sba_local.identity import DEFAULT_TTL, Issuer
from sba_local.supabase.auth import errors, sessions, users
from sba_local.supabase.auth.administration import Administration
from sba_local.supabase.auth.bodies import body_of
from sba_local.supabase.auth.errors import AuthRefusal
from sba_local.supabase.auth.identity import Caller, caller_of
from sba_local.supabase.auth.passwords import matches
from sba_local.supabase.auth.sessions import Grant
from sba_local.supabase.auth.signing_keys import SigningKeys
from sba_local.supabase.auth.users import User, Wishes
from sba_local.supabase.connections import Connection, Connections
from sba_local.supabase.errors import DatabaseUnavailable

PREFIX: Final = "/auth/v1"
_API_VERSION: Final = "2024-01-01"
_VERSION_HEADER: Final = "x-supabase-api-version"
_SETTINGS: Final = {
    "external": {"email": True, "phone": False, "anonymous_users": False},
    "disable_signup": False,
    "mailer_autoconfirm": True,
    "phone_autoconfirm": False,
    "sms_provider": "",
    "saml_enabled": False,
}


class AuthApp:
    """A stand-in for Supabase Auth: users, passwords, sessions. For development only; it sends no mail.

    Whoever mounts it has verified the caller's token and left its claims in `scope["state"]["claims"]`.

    Args:
        database_url: with a login that owns schema `auth`.
        issuer: signs the tokens, and says what time it is.
        ttl: seconds until an access token expires.
    """

    def __init__(self, database_url: str, issuer: Issuer, *, ttl: float = DEFAULT_TTL) -> None:
        self._connections = Connections(database_url, most=5, timeout=10.0)
        self._issuer = issuer
        self._ttl = ttl
        administration = Administration(self._connections, self._now)
        self._app = Starlette(
            routes=[
                Route(f"{PREFIX}/signup", self._sign_up, methods=["POST"]),
                Route(f"{PREFIX}/token", self._token, methods=["POST"]),
                Route(f"{PREFIX}/logout", self._sign_out, methods=["POST"]),
                Route(f"{PREFIX}/user", self._user, methods=["GET"]),
                Route(f"{PREFIX}/user", self._update, methods=["PUT"]),
                Route(f"{PREFIX}/settings", _settings, methods=["GET"]),
                *administration.routes(f"{PREFIX}/admin/users"),
                *SigningKeys(issuer).routes(f"{PREFIX}/admin/signing-keys"),
            ],
            exception_handlers={
                AuthRefusal: _refuse,
                psycopg.DataError: _refuse,
                DatabaseUnavailable: _no_database,
                404: _missing,
                405: _missing,
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the database connections."""
        await self._connections.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._issuer.clock(), UTC)

    async def _sign_up(self, request: Request) -> Response:
        body, now = await body_of(request), self._now()
        if body.get("phone"):
            raise AuthRefusal(400, "phone_provider_disabled", "Phone signups are disabled")
        if not body.get("email") and not body.get("password"):
            raise AuthRefusal(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
        wishes = Wishes(
            email=users.email_of(body.get("email")),
            password=users.password_of(body.get("password")),
            user_metadata=users.metadata_of(body.get("data")),
            confirm=True,
        )
        async with self._connections.lend() as connection:
            user = await users.add(connection, wishes, now)
            if user is None:
                raise errors.registered()
            return await self._begin(connection, user, now)

    async def _token(self, request: Request) -> Response:
        grants = {"password": self._by_password, "refresh_token": self._by_refresh_token}
        grant = grants.get(request.query_params.get("grant_type", ""))
        if grant is None:
            raise errors.unsupported_grant()
        return await grant(await body_of(request))

    async def _by_password(self, body: Mapping[str, Any]) -> Response:
        email, password, now = body.get("email"), body.get("password"), self._now()
        if not isinstance(email, str) or not isinstance(password, str):
            raise errors.wrong_credentials()
        async with self._connections.lend() as connection:
            user = await users.find(connection, email=email.strip().lower())
            good = await matches(password, user.encrypted_password if user else None)
            if user is None or not good:
                raise errors.wrong_credentials()
            if user.email_confirmed_at is None:
                raise errors.unconfirmed()
            return await self._begin(connection, user, now)

    async def _by_refresh_token(self, body: Mapping[str, Any]) -> Response:
        token = body.get("refresh_token")
        if not isinstance(token, str) or not token:
            raise errors.invalid("Refresh token is not valid")
        async with self._connections.lend() as connection:
            grant = await sessions.carry_on(connection, token, self._now())
            user = await users.find(connection, user_id=grant.user_id)
        if user is None:
            raise errors.refresh_unknown()
        return self._session(user, grant)

    async def _begin(self, connection: Connection, user: User, now: datetime) -> Response:
        if user.is_banned(now):
            raise errors.banned()
        grant = await sessions.begin(connection, user.id, now)
        await users.note_sign_in(connection, user.id, now)
        return self._session(await users.find(connection, user_id=user.id) or user, grant)

    def _session(self, user: User, grant: Grant) -> Response:
        if user.is_banned(self._now()):
            raise errors.banned()
        began = int(self._issuer.clock())
        claims = {
            "sub": str(user.id),
            "email": user.email or "",
            "phone": "",
            "app_metadata": user.raw_app_meta_data,
            "user_metadata": user.raw_user_meta_data,
            "role": user.role,
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": began}],
            "session_id": str(grant.session_id),
            "is_anonymous": False,
        }
        document = {
            "access_token": self._issuer.sign(claims, ttl=self._ttl),
            "token_type": "bearer",
            "expires_in": int(self._ttl),
            "expires_at": began + int(self._ttl),
            "refresh_token": grant.refresh_token,
            "user": user.document(),
        }
        return JSONResponse(document)

    async def _sign_out(self, request: Request) -> Response:
        caller = caller_of(request)
        scope = request.query_params.get("scope") or "global"
        async with self._connections.lend() as connection:
            await _live(connection, caller)
            await sessions.close(connection, caller.session_id, caller.user_id, scope)
        return Response(status_code=204)

    async def _user(self, request: Request) -> Response:
        caller = caller_of(request)
        async with self._connections.lend() as connection:
            return JSONResponse((await _live(connection, caller)).document())

    async def _update(self, request: Request) -> Response:
        caller, body = caller_of(request), await body_of(request)
        password, email = body.get("password"), body.get("email")
        async with self._connections.lend() as connection:
            user = await _live(connection, caller)
            if password is not None and await matches(users.password_of(password), user.encrypted_password):
                raise errors.same_password()
            wishes = Wishes(
                email=None if email is None else users.email_of(email),
                password=password,
                user_metadata=users.metadata_of(body.get("data")),
            )
            changed = await users.change(connection, user.id, wishes, self._now())
            if password is not None:
                await sessions.close(connection, caller.session_id, caller.user_id, "others")
        return JSONResponse((changed or user).document())


async def _live(connection: Connection, caller: Caller) -> User:
    """The caller, if they and their session are still there."""
    user = await users.find(connection, user_id=caller.user_id)
    if user is None:
        raise errors.subject_missing()
    if not await sessions.exists(connection, caller.session_id, uuid.UUID(str(user.id))):
        raise errors.session_missing()
    return user


async def _settings(_request: Request) -> Response:
    return JSONResponse(_SETTINGS)


async def _refuse(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, AuthRefusal) else errors.bad_json()
    asked = request.headers.get(_VERSION_HEADER, "")
    dated = asked >= _API_VERSION
    headers = {_VERSION_HEADER: _API_VERSION} if dated else {}
    return JSONResponse(refusal.document(dated=dated), status_code=refusal.status, headers=headers)


async def _no_database(request: Request, _error: Exception) -> Response:
    return await _refuse(request, AuthRefusal(503, "unexpected_failure", "The database does not answer"))


async def _missing(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return await _refuse(request, AuthRefusal(status, "not_found", "This stand-in does not serve that"))
