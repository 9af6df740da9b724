"""The one verifier of access tokens."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final

from sba_supabase.auth.claims import read_principal
from sba_supabase.auth.envelope import Envelope, open_envelope
from sba_supabase.auth.jwk import VerificationKey
from sba_supabase.auth.keys import KeySet
from sba_supabase.auth.legacy import legacy_key
from sba_supabase.auth.principal import Principal
from sba_supabase.auth.verified import VerifiedTokens
from sba_supabase.errors import (
    AlgorithmRefused,
    KeyUnknown,
    SignatureWrong,
    TokenMalformed,
    TokenMissing,
    TokenRevoked,
    TokenTooLarge,
)
from sba_supabase.settings import AuthSettings

MAX_TOKEN_BYTES: Final = 8192
_LONGEST_CACHE_TTL = 60.0


def _checked_text(token: object) -> bytes:
    """The token's bytes, bounded before anything reads them."""
    if token is None or token == "":
        raise TokenMissing
    if not isinstance(token, str):
        raise TokenMalformed
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenTooLarge
    if not token.isascii():
        raise TokenMalformed
    return token.encode("ascii")


class TokenVerifier:
    """Verifies access tokens: one algorithm per key, every claim strictly, nothing fetched that one names.

    Args:
        settings: what tokens are held to.
        keys: the issuer's key set.
        clock: the wall clock, in seconds since the epoch.
        revoked: asked about every token, remembered ones too; True refuses it. What it raises passes through.
        cache_size: how many verified tokens are remembered, 0 for none.
        cache_ttl: for how many seconds, at most 60 and never past a token's `exp`.
    """

    def __init__(
        self,
        settings: AuthSettings,
        *,
        keys: KeySet,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - a token's dates are wall-clock; tests pass their own
        revoked: Callable[[Principal], Awaitable[bool]] | None = None,
        cache_size: int = 4096,
        cache_ttl: float = _LONGEST_CACHE_TTL,
    ) -> None:
        if not 0 <= cache_ttl <= _LONGEST_CACHE_TTL:
            raise ValueError(f"cache_ttl must lie between 0 and {_LONGEST_CACHE_TTL:.0f} seconds")
        secret = settings.legacy_secret
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._revoked = revoked
        self._verified = VerifiedTokens(size=cache_size, ttl=cache_ttl)
        self._legacy = legacy_key(secret.get_secret_value()) if secret is not None else None

    async def verify(self, token: str | None) -> Principal:
        """Say who bears this token.

        Args:
            token: a compact JWT, without `Bearer`.

        Raises:
            TokenError: the token is refused; `.code` says why.
            KeysUnavailable: its key is not known and cannot be fetched now.
        """
        text = _checked_text(token)
        digest = sha256(text).digest()
        principal = await self._recall(digest)
        if principal is None:
            principal = await self._prove(text, digest)
        if self._revoked is not None and await self._revoked(principal):
            raise TokenRevoked
        return principal

    async def _recall(self, digest: bytes) -> Principal | None:
        entry = self._verified.recall(digest, self._clock())
        if entry is None:
            return None
        if entry.key is self._legacy or entry.key is self._keys.peek(entry.key.kid):
            return entry.principal
        self._verified.forget(digest)
        return None

    async def _prove(self, text: bytes, digest: bytes) -> Principal:
        envelope = open_envelope(text)
        key = await self._key_for(envelope)
        if not key.verifies(envelope.signing_input, envelope.signature):
            raise SignatureWrong
        now = self._clock()
        principal = read_principal(envelope.payload, self._settings, now)
        self._verified.keep(digest, principal, key, now)
        return principal

    async def _key_for(self, envelope: Envelope) -> VerificationKey:
        if self._legacy is not None and envelope.algorithm == self._legacy.algorithm:
            return self._legacy
        if envelope.algorithm not in self._settings.algorithms:
            raise AlgorithmRefused
        if envelope.kid is None:
            raise KeyUnknown
        key = await self._keys.find(envelope.kid)
        if key.algorithm != envelope.algorithm:
            raise AlgorithmRefused
        return key
