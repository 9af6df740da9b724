"""A project's API keys: what one is for, read without a secret and without believing it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from sba_supabase.auth.envelope import open_envelope, read_members
from sba_supabase.errors import TokenError

_OPAQUE: Final = re.compile(r"sb_(?P<kind>publishable|secret)_[A-Za-z0-9_-]+")
_HOSTED: Final = re.compile(r"(?P<ref>[a-z0-9]+)\.supabase\.(co|in)")
_WITHIN: Final = re.compile(r"sb_secret_[A-Za-z0-9_-]+|ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LONGEST: Final = 4096
_ROLES: Final = {"publishable": "anon", "secret": "service_role"}
_UNBOUND: Final = frozenset({"service_role", "supabase_admin", "postgres"})


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a key says of itself; its signature, if it has one, is the platform's to check.

    Attributes:
        role: the database role it stands for: `anon`, `service_role`, or whatever a token names.
        is_token: whether it is a legacy key, a signed token, which names its project.
        ref: the project a legacy key names, None when it names none.
    """

    role: str
    is_token: bool
    ref: str | None = None


def read_api_key(text: str) -> ApiKey | None:
    """What a key is for, None when the text is no key of a Supabase project."""
    opaque = _OPAQUE.fullmatch(text)
    if opaque is not None:
        return ApiKey(_ROLES[opaque["kind"]], is_token=False)
    if len(text) > _LONGEST or not text.isascii():
        return None
    try:
        claims = read_members(open_envelope(text.encode("ascii")).payload)
    except TokenError:
        return None
    role, ref = claims.get("role"), claims.get("ref")
    if not isinstance(role, str):
        return None
    return ApiKey(role, is_token=True, ref=ref if isinstance(ref, str) else None)


def is_secret(text: str) -> bool:
    """Whether a text is a key that passes by row level security."""
    key = read_api_key(text)
    return key is not None and key.role in _UNBOUND


def holds_secret(text: str) -> bool:
    """Whether such a key is anywhere in a text, as in a quoted value, an address or a document."""
    return any(is_secret(found[0]) for found in _WITHIN.finditer(unquote(text)))


def hosted_ref(url: str) -> str | None:
    """The project a hosted address names; None for a custom domain, or one that hosts itself."""
    hosted = _HOSTED.fullmatch((urlsplit(url).hostname or "").removesuffix("."))
    return hosted["ref"] if hosted is not None else None


def is_of(key: ApiKey, url: str) -> bool:
    """Whether a key may belong to the project at `url`: only legacy keys and hosted addresses disagree."""
    ref = hosted_ref(url)
    return ref is None or not key.is_token or key.ref == ref
