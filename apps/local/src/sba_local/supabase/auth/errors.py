"""What the auth stand-in answers when it refuses, with the codes of Supabase Auth's documentation.

AuthRefusal              a refusal with a status, a code and a message
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(eq=False)
class AuthRefusal(Exception):
    """A refusal.

    Attributes:
        status: HTTP status.
        code: Supabase Auth's error code.
        message: what went wrong.
        members: further members of the answer.
    """

    status: int
    code: str
    message: str
    members: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def document(self, *, dated: bool) -> dict[str, Any]:
        """The answer: in the form of API version 2024-01-01, or in the one before it."""
        if dated:
            return {"code": self.code, "message": self.message, **self.members}
        return {"code": self.status, "error_code": self.code, "msg": self.message, **self.members}


def invalid(message: str) -> AuthRefusal:
    """The request's body is not what it should be."""
    return AuthRefusal(400, "validation_failed", message)


def bad_json() -> AuthRefusal:
    """The body is no JSON object."""
    return AuthRefusal(400, "bad_json", "Could not parse request body as JSON")


def bad_jwt(reason: str) -> AuthRefusal:
    """The bearer token is none of ours, or over."""
    return AuthRefusal(403, "bad_jwt", f"invalid JWT: unable to parse or verify signature, {reason}")


def no_authorization() -> AuthRefusal:
    """There is no bearer token."""
    return AuthRefusal(401, "no_authorization", "This endpoint requires a valid Bearer token")


def not_admin() -> AuthRefusal:
    """Only the service role may."""
    return AuthRefusal(403, "not_admin", "User not allowed")


def wrong_credentials() -> AuthRefusal:
    """No such user, or another password: which of the two is not said."""
    return AuthRefusal(400, "invalid_credentials", "Invalid login credentials")


def unsupported_grant() -> AuthRefusal:
    """A grant that is not served."""
    return AuthRefusal(400, "invalid_credentials", "unsupported_grant_type")


def unconfirmed() -> AuthRefusal:
    """The address was never confirmed."""
    return AuthRefusal(400, "email_not_confirmed", "Email not confirmed")


def banned() -> AuthRefusal:
    """The user is banned at the moment."""
    return AuthRefusal(400, "user_banned", "User is banned")


def registered() -> AuthRefusal:
    """Somebody signs up with an address that is taken."""
    return AuthRefusal(422, "user_already_exists", "User already registered")


def email_taken() -> AuthRefusal:
    """An administrator gives a user an address that is taken."""
    return AuthRefusal(422, "email_exists", "A user with this email address has already been registered")


def weak(least: int) -> AuthRefusal:
    """The password is too short."""
    message = f"Password should be at least {least} characters."
    return AuthRefusal(422, "weak_password", message, {"weak_password": {"reasons": ["length"]}})


def same_password() -> AuthRefusal:
    """The new password is the old one."""
    return AuthRefusal(422, "same_password", "New password should be different from the old password.")


def user_missing() -> AuthRefusal:
    """There is no such user."""
    return AuthRefusal(404, "user_not_found", "User not found")


def subject_missing() -> AuthRefusal:
    """The token is good, its user is gone."""
    return AuthRefusal(403, "user_not_found", "User from sub claim in JWT does not exist")


def session_missing() -> AuthRefusal:
    """The token is good, its session was signed out."""
    return AuthRefusal(403, "session_not_found", "Session from session_id claim in JWT does not exist")


def refresh_unknown() -> AuthRefusal:
    """Nobody was given that refresh token."""
    return AuthRefusal(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")


def refresh_used() -> AuthRefusal:
    """The refresh token was used before: somebody may have stolen it."""
    return AuthRefusal(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
