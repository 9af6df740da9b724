"""One published key, accepted only when everything it says about itself agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from sba_supabase.auth.strict_json import read_object

_MATERIAL: Final = ("kty", "crv", "x", "y", "n", "e")
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_ALGORITHM_OF: Final = {("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA", ("RSA", None): "RS256"}
_RSA_BITS: Final = range(2048, 8193)
_LONGEST_KID: Final = 256
_MOST_KEYS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class VerificationKey:
    """A public key, the one algorithm it is for, and its name.

    Keys are compared by identity: a set that is fetched again keeps the object of a key that has not changed.

    Attributes:
        kid: its name in the key set.
        algorithm: ES256, RS256, EdDSA, or HS256 for a legacy secret.
    """

    kid: str
    algorithm: str
    jwk: PyJWK = field(repr=False)
    material: tuple[object, ...] = field(repr=False, default=())

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        """Whether the signature over the input was made with this key's other half."""
        return self.jwk.Algorithm.verify(signing_input, self.jwk.key, signature)

    def is_same(self, other: VerificationKey | None) -> bool:
        """Whether the other is this very key, fetched another time."""
        return other is not None and self.material == other.material and self.algorithm == other.algorithm


def _algorithm(members: Mapping[str, object]) -> str | None:
    """The one algorithm of a key's type and curve, None when it contradicts that or is for other uses."""
    kind, curve = members.get("kty"), members.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return None
    algorithm = _ALGORITHM_OF.get((kind, curve))
    operations = members.get("key_ops", ["verify"])
    fits = (
        algorithm is not None
        and members.get("alg", algorithm) == algorithm
        and members.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )
    return algorithm if fits else None


def _is_strong(jwk: PyJWK) -> bool:
    return jwk.algorithm_name != "RS256" or jwk.key.key_size in _RSA_BITS


def read_key(members: Mapping[str, object]) -> VerificationKey | None:
    """A published key that may verify tokens, None for any other.

    Accepted are EC P-256 for ES256, Ed25519 for EdDSA and RSA of 2048 to 8192 bits for RS256, each with a
    `kid`, whose `alg`, `use` and `key_ops`, where given, say the same.
    """
    kid, algorithm = members.get("kid"), _algorithm(members)
    if not isinstance(kid, str) or not 0 < len(kid) <= _LONGEST_KID:
        return None
    if algorithm is None or not _PRIVATE.isdisjoint(members):
        return None  # published with its private half, it is anybody's
    try:
        jwk = PyJWK(dict(members), algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None
    material = tuple(members.get(name) for name in _MATERIAL)
    return VerificationKey(kid, algorithm, jwk, material) if _is_strong(jwk) else None


def read_key_set(body: bytes) -> dict[str, VerificationKey]:
    """The usable keys of a JWKS document by `kid`; a `kid` used twice names no key.

    Raises:
        ValueError: it is no JWKS document.
    """
    published = read_object(body).get("keys")
    if not isinstance(published, list) or len(published) > _MOST_KEYS:
        raise ValueError("not a key set")
    keys = [
        key for key in (read_key(item) for item in published if isinstance(item, dict)) if key is not None
    ]
    names = [key.kid for key in keys]
    return {key.kid: key for key in keys if names.count(key.kid) == 1}
