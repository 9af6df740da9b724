"""Tokens verified a moment ago, so that a burst of calls pays for one signature."""

from __future__ import annotations

from dataclasses import dataclass

from sba_supabase.auth.jwk import VerificationKey
from sba_supabase.auth.principal import Principal


@dataclass(frozen=True, slots=True)
class Verified:
    """A principal, the key that proved it, and the wall-clock interval for which that is remembered."""

    principal: Principal
    key: VerificationKey
    since: float
    until: float


class VerifiedTokens:
    """A bounded memory of verified tokens, by digest: the tokens themselves are not kept.

    Args:
        size: how many are remembered at most, 0 for none; the oldest is forgotten first.
        ttl: for how many seconds at most, and never past the token's `exp`.
    """

    def __init__(self, *, size: int, ttl: float) -> None:
        self._size = size
        self._ttl = ttl
        self._entries: dict[bytes, Verified] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, digest: bytes, now: float) -> Verified | None:
        """What is remembered of a token, None when that is nothing or too old."""
        entry = self._entries.get(digest)
        if entry is None or entry.since <= now < entry.until:
            return entry
        del self._entries[digest]
        return None

    def forget(self, digest: bytes) -> None:
        """Remember a token no longer."""
        self._entries.pop(digest, None)

    def keep(self, digest: bytes, principal: Principal, key: VerificationKey, now: float) -> None:
        """Remember a token verified now."""
        until = min(now + self._ttl, principal.expires_at)
        if self._size == 0 or until <= now:
            return
        while len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[digest] = Verified(principal, key, now, until)
