"""The claims of a token whose signature holds, checked and read into a principal."""

from __future__ import annotations

from uuid import UUID

from sba_supabase.auth.envelope import read_members
from sba_supabase.auth.principal import Principal
from sba_supabase.errors import (
    AudienceWrong,
    ClaimInvalid,
    ClaimMissing,
    IssuedInFuture,
    IssuerWrong,
    MemberDuplicated,
    PayloadMalformed,
    RoleRefused,
    TokenExpired,
    TokenMalformed,
    TokenNotYetValid,
)
from sba_supabase.settings import AuthSettings

_REQUIRED = ("exp", "iat", "sub", "iss", "aud")
_LATEST_DATE = 253_402_300_799  # the last second of the year 9999
_LONGEST_SESSION = 128


def _members(payload: bytes) -> dict[str, object]:
    try:
        return read_members(payload)
    except MemberDuplicated:
        raise
    except TokenMalformed:
        raise PayloadMalformed from None


def _date(claims: dict[str, object], name: str) -> float:
    """A NumericDate: a finite JSON number, in seconds since the epoch."""
    value = claims[name]
    if type(value) is not int and type(value) is not float:
        raise ClaimInvalid(name)
    if not 0 <= value <= _LATEST_DATE:  # false for NaN and the infinities as well
        raise ClaimInvalid(name)
    return value


def _uuid(value: object, name: str) -> UUID:
    """A UUID in its canonical spelling, so that one user has one name."""
    if not isinstance(value, str):
        raise ClaimInvalid(name)
    try:
        parsed = UUID(value)
    except ValueError:
        raise ClaimInvalid(name) from None
    if str(parsed) != value:
        raise ClaimInvalid(name)
    return parsed


def _check_present(claims: dict[str, object]) -> None:
    for name in _REQUIRED:
        if claims.get(name) is None:
            raise ClaimMissing(name)


def _check_dates(claims: dict[str, object], now: float, leeway: float) -> float:
    """Check every date and return `exp`."""
    expires_at = _date(claims, "exp")
    if expires_at <= now:
        raise TokenExpired
    if _date(claims, "iat") > now + leeway:
        raise IssuedInFuture
    if "nbf" in claims and _date(claims, "nbf") > now + leeway:
        raise TokenNotYetValid
    return expires_at


def _check_parties(claims: dict[str, object], settings: AuthSettings) -> None:
    if claims["iss"] != settings.issuer:
        raise IssuerWrong
    if claims["aud"] != settings.audience:
        raise AudienceWrong


def _role(claims: dict[str, object], settings: AuthSettings) -> str:
    role = claims.get("role", settings.roles[0])
    if not isinstance(role, str) or role not in settings.roles:
        raise RoleRefused
    return role


def _tenant(claims: dict[str, object]) -> UUID | None:
    metadata = claims.get("app_metadata")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise ClaimInvalid("app_metadata")
    tenant = metadata.get("tenant_id")
    return None if tenant is None else _uuid(tenant, "app_metadata.tenant_id")


def _session(claims: dict[str, object]) -> str | None:
    session = claims.get("session_id")
    if session is None:
        return None
    if not isinstance(session, str) or not 0 < len(session) <= _LONGEST_SESSION or not session.isprintable():
        raise ClaimInvalid("session_id")
    return session


def read_principal(payload: bytes, settings: AuthSettings, now: float) -> Principal:
    """Check the claims of a verified payload and say whose they are.

    Args:
        payload: the JSON the signature covers.
        settings: the issuer, audience, roles and leeway to hold it to.
        now: seconds since the epoch.

    Raises:
        TokenError: a claim is missing, wrong or out of its time.
    """
    claims = _members(payload)
    _check_present(claims)
    expires_at = _check_dates(claims, now, settings.leeway)
    _check_parties(claims, settings)
    return Principal(
        user_id=_uuid(claims["sub"], "sub"),
        tenant_id=_tenant(claims),
        role=_role(claims, settings),
        expires_at=expires_at,
        session_id=_session(claims),
    )
