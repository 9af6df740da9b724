"""One published key, accepted only when everything it says about itself agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from sba_supabase.auth.base64url import decode
from sba_supabase.auth.strength import is_strong_ed25519, is_strong_rsa
from sba_supabase.auth.strict_json import read_object

_MATERIAL: Final = ("kty", "crv", "x", "y", "n", "e")
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_ALGORITHM_OF: Final = {("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA", ("RSA", None): "RS256"}
_NUMBERS_OF: Final = {"ES256": ("x", "y"), "EdDSA": ("x",), "RS256": ("n", "e")}
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


def _is_strong(members: Mapping[str, object], algorithm: str) -> bool:
    """Whether nobody but its owner can sign with it.

    Raises:
        ValueError: its numbers are not spelled as they must be.
    """
    numbers = [decode(str(members.get(name)).encode()) for name in _NUMBERS_OF[algorithm]]
    if algorithm == "RS256":
        return is_strong_rsa(*(int.from_bytes(number) for number in numbers))
    return algorithm != "EdDSA" or is_strong_ed25519(numbers[0])


def _is_private(members: Mapping[str, object]) -> bool:
    return not _PRIVATE.isdisjoint(members)


def _material(members: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(members.get(name) for name in _MATERIAL)


def read_key(members: Mapping[str, object]) -> VerificationKey | None:
    """A published key that may verify tokens, None for any other.

    Accepted are EC P-256 for ES256, Ed25519 for EdDSA and RSA of 2048 to 8192 bits for RS256, each with a
    `kid`, whose `alg`, `use` and `key_ops`, where given, say the same, and which is not known to be weak.
    """
    kid, algorithm = members.get("kid"), _algorithm(members)
    if not isinstance(kid, str) or not 0 < len(kid) <= _LONGEST_KID:
        return None
    if algorithm is None or _is_private(members):
        return None  # published with its private half, it is anybody's
    try:
        if not _is_strong(members, algorithm):
            return None
        jwk = PyJWK(dict(members), algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None
    return VerificationKey(kid, algorithm, jwk, _material(members))


def read_key_set(body: bytes) -> dict[str, VerificationKey]:
    """The usable keys of a JWKS document by `kid`.

    A `kid` used twice names no key, nor is a key used whose private half is published beside it.

    Raises:
        ValueError: it is no JWKS document.
    """
    published = read_object(body).get("keys")
    if not isinstance(published, list) or len(published) > _MOST_KEYS:
        raise ValueError("not a key set")
    items = [item for item in published if isinstance(item, dict)]
    names = [item.get("kid") for item in items]
    leaked = [_material(item) for item in items if _is_private(item)]
    keys = [key for key in map(read_key, items) if key is not None]
    return {key.kid: key for key in keys if names.count(key.kid) == 1 and key.material not in leaked}
