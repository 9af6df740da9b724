"""The development issuer: tokens as Supabase Auth issues them, signed with a key of this machine's own."""

import base64
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sba_local.directory import private_text
from sba_local.errors import DataDirCorrupt

ALGORITHM = "ES256"
AUDIENCE = "authenticated"
DEFAULT_TTL = 3600.0

_KEY_FILE = "issuer.pem"
_WIDTH = 32


class Issuer:
    """Mints tokens and publishes the key to verify them with.

    Args:
        key: a P-256 private key.
        supabase_url: address of the Supabase project it stands in for.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        supabase_url: str,
        *,
        clock: Callable[[], float] = time.time,  # noqa: TID251  # an app's edge: tokens carry wall-clock times
    ) -> None:
        self._key = key
        self._clock = clock
        self._public = _public_jwk(key.public_key())
        self.issuer = f"{supabase_url.rstrip('/')}/auth/v1"

    def __repr__(self) -> str:
        return f"Issuer({self.issuer!r}, kid={self.kid!r})"

    @classmethod
    def load(cls, data_dir: Path, supabase_url: str) -> Self:
        """The issuer whose key is kept in `data_dir`, made the first time and readable by its owner alone.

        Raises:
            DataDirCorrupt: the file there is not such a key.
        """
        path = data_dir / _KEY_FILE
        pem = private_text(path, _new_key)
        try:
            key = serialization.load_pem_private_key(pem.encode(), password=None)
        except ValueError:
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise DataDirCorrupt(data_dir, f"{path} is not a P-256 private key")
        return cls(key, supabase_url)

    @property
    def kid(self) -> str:
        """Identifier of the key: its RFC 7638 thumbprint."""
        return self._public["kid"]

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The key set to publish."""
        return {"keys": [dict(self._public)]}

    def mint(
        self,
        *,
        user_id: uuid.UUID,
        tenant_id: uuid.UUID | None,
        role: str = "member",
        ttl: float = DEFAULT_TTL,
    ) -> str:
        """A signed token.

        Args:
            user_id: whose it is.
            tenant_id: the tenant it names in `app_metadata`; None names none.
            role: the user's role there.
            ttl: seconds until it expires; not positive mints an expired one.
        """
        now = int(self._clock())
        metadata = {} if tenant_id is None else {"tenant_id": str(tenant_id), "role": role}
        claims: Mapping[str, Any] = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "role": AUDIENCE,
            "app_metadata": metadata,
            "session_id": str(uuid.uuid4()),
            "iat": now,
            "exp": now + int(ttl),
        }
        return jwt.encode(dict(claims), self._key, algorithm=ALGORITHM, headers={"kid": self.kid})


def _new_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    x, y = (_encoded(number.to_bytes(_WIDTH, "big")) for number in (numbers.x, numbers.y))
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    kid = _encoded(hashlib.sha256(canonical.encode()).digest())
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": ALGORITHM, "use": "sig"}


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
