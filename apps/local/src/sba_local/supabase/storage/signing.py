"""The tokens in signed URLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt

from sba_local.supabase.storage import errors

_ALGORITHM: Final = "HS256"
_LONGEST: Final = 10 * 366 * 24 * 3600


class Signer:
    """Signs URLs and reads what it signed.

    Args:
        secret: to sign with, at least 32 characters.
        clock: seconds since the epoch.
    """

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._clock = clock

    def sign(self, purpose: str, url: str, seconds: int, **members: Any) -> str:  # noqa: ANN401  # JSON
        """A token for one purpose and URL.

        Raises:
            StorageRefusal: it would not be good for a moment, or for longer than a decade.
        """
        if not 0 < seconds <= _LONGEST:
            raise errors.invalid("body/expiresIn must be >= 1")
        now = int(self._clock())
        claims = {"url": url, "aud": purpose, "iat": now, "exp": now + seconds, **members}
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def read(self, purpose: str, token: str, url: str) -> Mapping[str, Any]:
        """What was signed.

        Raises:
            StorageRefusal: it is no token of ours, is over, or is for another URL.
        """
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=purpose,
                options={"require": ["exp", "url"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            raise errors.bad_token("Invalid Compact JWS") from None
        if claims["exp"] <= self._clock():
            raise errors.bad_token('"exp" claim timestamp check failed')
        if claims["url"] != url:
            raise errors.other_url()
        return claims
