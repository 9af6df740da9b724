"""Who asks: by the API key, and by the bearer token where there is one."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

import jwt

from sba_local.identity import Issuer

ANON: Final = "anon"
SERVICE: Final = "service_role"
_ROLES: Final = frozenset({ANON, "authenticated", SERVICE})
_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Keys:
    """The project's API keys.

    Attributes:
        anon: the publishable one.
        service: the secret one.
    """

    anon: str = field(repr=False)
    service: str = field(repr=False)

    def role_of(self, key: str) -> str | None:
        """The database role a key stands for, None for none of the project's keys."""
        for known, role in ((self.anon, ANON), (self.service, SERVICE)):
            if hmac.compare_digest(known.encode(), key.encode(errors="surrogatepass")):
                return role
        return None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks.

    Attributes:
        role: the database role.
        claims: of the verified token, or those that the API key stands for.
        refused: why the bearer token is none, empty where it is good or there is none.
        expired: whether that is because it is over.
    """

    role: str
    claims: Mapping[str, Any] = field(repr=False)
    refused: str = ""
    expired: bool = False


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """No API key of this project."""

    message: str
    hint: str


NO_KEY: Final = KeyProblem(
    "No API key found in request", "No `apikey` request header or url param was found."
)
WRONG_KEY: Final = KeyProblem(
    "Invalid API key", "Double check your Supabase `anon` or `service_role` API key."
)


def identify(
    headers: Mapping[str, str], query: bytes, *, keys: Keys, issuer: Issuer, needs_key: bool
) -> Identity | KeyProblem:
    """Who a request comes from.

    Args:
        headers: by lower-case name.
        query: the URL's query, where `apikey` may be too.
        keys: the project's.
        issuer: knows its own tokens.
        needs_key: whether nobody in particular is refused.
    """
    bearer = _bearer(headers)
    key = headers.get("apikey") or _from_query(query) or (bearer if keys.role_of(bearer) else "")
    role = keys.role_of(key) if key else None
    if role is None and (needs_key or key):
        return WRONG_KEY if key else NO_KEY
    of_key = Identity(role or ANON, {"role": role or ANON})
    if not bearer or bearer == key:
        return of_key
    by_bearer = keys.role_of(bearer)
    return Identity(by_bearer, {"role": by_bearer}) if by_bearer else _of_token(bearer, issuer)


def _of_token(token: str, issuer: Issuer) -> Identity:
    try:
        claims = issuer.read(token)
    except jwt.ExpiredSignatureError:
        return Identity(ANON, {}, refused="token has invalid claims: token is expired", expired=True)
    except jwt.PyJWTError as error:
        return Identity(ANON, {}, refused=type(error).__name__)
    role = claims.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        return Identity(ANON, {}, refused="the token names no role of this project")
    return Identity(role, claims)


def _bearer(headers: Mapping[str, str]) -> str:
    value = headers.get("authorization", "")
    return value[len(_BEARER) :].strip() if value.lower().startswith(_BEARER) else ""


def _from_query(query: bytes) -> str:
    return parse_qs(query.decode("latin-1")).get("apikey", [""])[0]
