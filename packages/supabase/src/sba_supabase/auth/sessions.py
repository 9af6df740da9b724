"""Sign-in sessions: read from where they are stored, and refreshed before they end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from sba_supabase.errors import SessionUnavailable

MARGIN: Final = 30.0
"""Seconds before its end at which a session is refreshed."""

_NEVER = 1e12  # seconds, beyond what any clock will say
_TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{1,8192}")
_ENDED = frozenset(
    {400, 403, 422}
)  # what Supabase Auth answers of a token that is no good; 401 is about the key


def is_token(text: object) -> bool:
    """Whether a text can stand behind `Bearer` in a header."""
    return isinstance(text, str) and _TOKEN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as Supabase Auth gave it. Nothing in it is verified: it may be a browser's invention.

    Attributes:
        access_token: the bearer of each request.
        refresh_token: good for one new session.
        expires_at: when the access token ends, in seconds since the epoch.
        members: the whole document, which other servers of the same session may read more of.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float
    members: Mapping[str, Any] = field(repr=False)

    def text(self) -> str:
        """The document as JavaScript writes it."""
        return json.dumps(dict(self.members), separators=(",", ":"), ensure_ascii=False)

    def ends_before(self, moment: float) -> bool:
        """Whether its access token will be of no use at that moment."""
        return self.expires_at <= moment


def read_session(members: object) -> StoredSession | None:
    """A session out of its document, None when that is none."""
    if not isinstance(members, dict):
        return None
    access, refresh, ends = (members.get(name) for name in ("access_token", "refresh_token", "expires_at"))
    if not is_token(access) or not is_token(refresh) or isinstance(ends, bool):
        return None
    if not isinstance(ends, int | float) or not abs(ends) < _NEVER:
        return None
    return StoredSession(str(access), str(refresh), float(ends), members)


def parse_session(text: str | None) -> StoredSession | None:
    """A session out of a stored text, None when that is none."""
    try:
        return read_session(json.loads(text or "null"))
    except (ValueError, RecursionError):
        return None


def _granted(response: httpx.Response, now: float) -> StoredSession | None:
    try:
        members = response.json()
    except (ValueError, RecursionError):
        return None
    if (
        isinstance(members, dict)
        and not members.get("expires_at")
        and isinstance(members.get("expires_in"), int)
    ):
        members = {**members, "expires_at": round(now) + members["expires_in"]}
    return read_session(members)


async def refresh(
    http: httpx.AsyncClient, url: str, *, key: str, refresh_token: str, now: float
) -> StoredSession | None:
    """A new session for a refresh token.

    Args:
        http: the client to ask with.
        url: the project's address.
        key: its public key.
        refresh_token: it is of no use afterwards.
        now: seconds since the epoch.

    Returns:
        None when the session has ended: signed out, revoked, or its token used up.

    Raises:
        SessionUnavailable: the issuer cannot be asked, or answers nonsense; the token may still be good.
    """
    try:
        response = await http.post(
            f"{url}/auth/v1/token",
            params={"grant_type": "refresh_token"},
            headers={"apikey": key, "x-supabase-api-version": "2024-01-01"},
            json={"refresh_token": refresh_token},
        )
    except httpx.HTTPError:
        raise SessionUnavailable from None
    if response.status_code in _ENDED:
        return None
    session = _granted(response, now) if response.status_code == httpx.codes.OK else None
    if session is None:
        raise SessionUnavailable
    return session
