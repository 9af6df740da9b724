"""The development issuer: tokens as Supabase Auth issues them, signed with a key of this machine's own."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sba_local.directory import private_text, write_private
from sba_local.errors import DataDirCorrupt

ALGORITHM = "ES256"
AUDIENCE = "authenticated"
DEFAULT_TTL = 3600.0

_KEY_FILE = "issuer.pem"
_NEXT_FILE = "issuer-next.pem"
_PREVIOUS_FILE = "issuer-previous.pem"
_WIDTH = 32

Key = ec.EllipticCurvePrivateKey


class Issuer:
    """Mints tokens and publishes the keys to verify them with.

    Its key is changed in three steps, each a while after the one before: `announce` publishes the next key,
    so that every verifier knows it before a token needs it; `rotate` signs with it; `retire` stops publishing
    the old one, once the tokens it signed are over.

    Args:
        key: a P-256 private key.
        supabase_url: address of the Supabase project it stands in for.
        clock: seconds since the epoch.
        place: where keys are kept; None keeps them in memory.
    """

    def __init__(
        self,
        key: Key,
        supabase_url: str,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251  # an app's edge: tokens carry wall-clock times
        place: Path | None = None,
    ) -> None:
        self._key = key
        self._next: Key | None = None
        self._previous: Key | None = None
        self._place = place
        self.clock = clock
        self._public = _public_jwk(key.public_key())
        self.issuer = f"{supabase_url.rstrip('/')}/auth/v1"

    def __repr__(self) -> str:
        return f"Issuer({self.issuer!r}, kid={self.kid!r})"

    @classmethod
    def load(cls, data_dir: Path, supabase_url: str) -> Self:
        """The issuer whose keys are kept in `data_dir`, made the first time and readable by its owner alone.

        Raises:
            DataDirCorrupt: a file there is not such a key.
        """
        private_text(data_dir / _KEY_FILE, lambda: _pem(_new_key()))
        issuer = cls(_read(data_dir, _KEY_FILE), supabase_url, place=data_dir)
        issuer._next = issuer._other(_NEXT_FILE)
        issuer._previous = issuer._other(_PREVIOUS_FILE)
        return issuer

    @property
    def kid(self) -> str:
        """Identifier of the key it signs with: its RFC 7638 thumbprint."""
        return self._public["kid"]

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The key set to publish: the key that signs, one that is announced, and one not yet retired."""
        others = [_public_jwk(key.public_key()) for key in (self._next, self._previous) if key is not None]
        return {"keys": [dict(self._public), *others]}

    def statuses(self) -> dict[str, str]:
        """What each published key is for: in_use, standby or previously_used, as Supabase calls it."""
        keys = (("in_use", self._key), ("standby", self._next), ("previously_used", self._previous))
        return {_public_jwk(key.public_key())["kid"]: status for status, key in keys if key is not None}

    def announce(self) -> str:
        """Publish the next key, without signing with it yet, and return its identifier."""
        if self._next is None:
            self._next = _new_key()
            self._keep(_NEXT_FILE, self._next)
        return _public_jwk(self._next.public_key())["kid"]

    def rotate(self) -> str:
        """Sign with the announced key, go on publishing the one before, and return the identifier.

        Raises:
            ValueError: none is announced, or the key before the present one is not retired.
        """
        if self._previous is not None:
            raise ValueError("retire the previous key first: what it signed would be refused unasked")
        if self._next is None:
            raise ValueError("announce the next key first: verifiers must know it before it signs")
        self._previous, self._key, self._next = self._key, self._next, None
        self._public = _public_jwk(self._key.public_key())
        self._keep(_PREVIOUS_FILE, self._previous)
        self._keep(_KEY_FILE, self._key)
        self._keep(_NEXT_FILE, None)
        return self.kid

    def retire(self) -> None:
        """Stop publishing the key before: what it signed is refused from now on."""
        self._previous = None
        self._keep(_PREVIOUS_FILE, None)

    def sign(self, claims: Mapping[str, Any], *, ttl: float = DEFAULT_TTL) -> str:
        """A token of these claims, whose issuer, audience and times are added.

        Args:
            claims: about its subject.
            ttl: seconds until it expires; not positive signs an expired one.
        """
        now = int(self.clock())
        standard = {"iss": self.issuer, "aud": AUDIENCE, "iat": now, "exp": now + int(ttl)}
        return jwt.encode({**standard, **claims}, self._key, algorithm=ALGORITHM, headers={"kid": self.kid})

    def read(self, token: str) -> dict[str, Any]:
        """The claims of a token of ours.

        Raises:
            jwt.PyJWTError: it is none, or over.
        """
        try:
            return self._read(token)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise jwt.DecodeError(type(error).__name__) from None

    def _read(self, token: str) -> dict[str, Any]:
        kid = jwt.get_unverified_header(token).get("kid")
        known = next((key for key in self.jwks()["keys"] if key["kid"] == kid), None)
        if known is None:
            raise jwt.InvalidKeyError("unrecognized JWT kid for algorithm ES256")
        required = ["exp", "iat", "sub", "iss", "aud"]
        claims: dict[str, Any] = jwt.decode(
            token,
            jwt.PyJWK(known),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=self.issuer,
            options={"require": required, "verify_exp": False, "verify_iat": False},
        )
        json.dumps(claims, ensure_ascii=False).encode()  # half a surrogate pair is no text
        expires_at, _ = float(claims["exp"]), float(claims["iat"])
        if expires_at <= self.clock():
            raise jwt.ExpiredSignatureError("token is expired")
        return claims

    def mint(
        self,
        *,
        user_id: uuid.UUID,
        tenant_id: uuid.UUID | None,
        role: str = "member",
        ttl: float = DEFAULT_TTL,
    ) -> str:
        """A token of a user, whether or not anybody signed up as them.

        Args:
            user_id: whose it is.
            tenant_id: the tenant it names in `app_metadata`; None names none.
            role: the user's role there.
            ttl: seconds until it expires; not positive mints an expired one.
        """
        metadata = {} if tenant_id is None else {"tenant_id": str(tenant_id), "role": role}
        claims = {
            "sub": str(user_id),
            "role": AUDIENCE,
            "app_metadata": metadata,
            "session_id": str(uuid.uuid4()),
        }
        return self.sign(claims, ttl=ttl)

    def _other(self, name: str) -> Key | None:
        """A kept key that does not sign; a rotation broken off leaves the one that does there too."""
        if self._place is None or not (self._place / name).exists():
            return None
        key = _read(self._place, name)
        return None if _public_jwk(key.public_key()) == self._public else key

    def _keep(self, name: str, key: Key | None) -> None:
        if self._place is None:
            return
        if key is None:
            (self._place / name).unlink(missing_ok=True)
        else:
            write_private(self._place / name, _pem(key))


def _new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _read(data_dir: Path, name: str) -> Key:
    path = data_dir / name
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise DataDirCorrupt(data_dir, f"{path} is not a P-256 private key")
    return key


def _public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    x, y = (_encoded(number.to_bytes(_WIDTH, "big")) for number in (numbers.x, numbers.y))
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    kid = _encoded(hashlib.sha256(canonical.encode()).digest())
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": ALGORITHM, "use": "sig"}


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
