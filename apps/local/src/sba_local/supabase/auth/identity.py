"""Who asks the auth stand-in."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from starlette.requests import Request

from sba_local.supabase.auth import errors


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user."""

    user_id: uuid.UUID
    session_id: uuid.UUID


def caller_of(request: Request) -> Caller:
    """The user whose token the request brings.

    Raises:
        AuthRefusal: it brings none of a user.
    """
    claims = _claims(request)
    try:
        return Caller(uuid.UUID(claims["sub"]), uuid.UUID(claims["session_id"]))
    except KeyError:
        raise errors.bad_jwt("invalid claim: missing sub claim") from None
    except (ValueError, TypeError, AttributeError):
        raise errors.bad_jwt("invalid claim: sub claim must be a UUID") from None


def require_service_role(request: Request) -> None:
    """Nothing, for the service role.

    Raises:
        AuthRefusal: for anybody else.
    """
    if _claims(request).get("role") != "service_role":
        raise errors.not_admin()


def _claims(request: Request) -> dict[str, str]:
    state = request.scope.get("state") or {}
    if "authorization" not in request.headers:
        raise errors.no_authorization()
    if state.get("refused"):
        raise errors.bad_jwt(str(state["refused"]))
    return dict(state.get("claims") or {})
