"""An issuer of tokens, honest ones and any other."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ALGORITHMS = get_default_algorithms()
NOW = 1_800_000_000.0
ISSUER = "https://project.example.co/auth/v1"
USER = uuid.UUID("0b9f7a52-6d1e-4c35-9a44-0d6f2b1a9e01")
TENANT = uuid.UUID("5f3c1d88-2b7a-4e0f-8c59-7a1e6d4b3c02")


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def packed(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Signer:
    """A private key, its name and its algorithm."""

    kid: str
    algorithm: str
    key: Any = field(repr=False)

    @classmethod
    def es256(cls, kid: str = "k1") -> Signer:
        return cls(kid, "ES256", ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def rs256(cls, kid: str = "k1", bits: int = 2048) -> Signer:
        return cls(kid, "RS256", rsa.generate_private_key(public_exponent=65537, key_size=bits))

    @classmethod
    def eddsa(cls, kid: str = "k1") -> Signer:
        return cls(kid, "EdDSA", ed25519.Ed25519PrivateKey.generate())

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half, as an issuer publishes it."""
        members = json.loads(ALGORITHMS[self.algorithm].to_jwk(self.key.public_key()))
        return {**members, "kid": self.kid, "alg": self.algorithm, "use": "sig", "key_ops": ["verify"]}

    def sign(self, header: bytes, payload: bytes) -> str:
        """A compact token of these very bytes, whatever they say."""
        signing_input = f"{b64(header)}.{b64(payload)}"
        return f"{signing_input}.{b64(ALGORITHMS[self.algorithm].sign(signing_input.encode(), self.key))}"

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": self.algorithm, "kid": self.kid, "typ": "JWT"}

    def token(self, header: dict[str, Any] | None = None, **claims: object) -> str:
        """A token with these claims in place of the honest ones; `...` leaves a claim out."""
        return self.sign(packed({**self.header, **(header or {})}), packed(honest(**claims)))


def honest(**claims: object) -> dict[str, object]:
    """The claims of an honest token, with some replaced; `...` leaves one out."""
    everything: dict[str, object] = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": str(USER),
        "exp": int(NOW) + 3600,
        "iat": int(NOW),
        "role": "authenticated",
        "session_id": "7d0a1b56-91c5-4f26-b0de-2f6a3f8f9c03",
        "app_metadata": {"provider": "email", "tenant_id": str(TENANT)},
        "user_metadata": {"tenant_id": "11111111-1111-4111-8111-111111111111"},
    }
    return {name: value for name, value in {**everything, **claims}.items() if value is not ...}


def jwks(*signers: Signer) -> bytes:
    return packed({"keys": [signer.jwk for signer in signers]})


def hmac_token(secret: bytes, header: dict[str, Any] | None = None, **claims: object) -> str:
    """A token signed with HS256."""
    head = {"alg": "HS256", "typ": "JWT", **(header or {})}
    signing_input = f"{b64(packed(head))}.{b64(packed(honest(**claims)))}"
    signature = jwt.get_algorithm_by_name("HS256").sign(signing_input.encode(), secret)
    return f"{signing_input}.{b64(signature)}"


Forge = Callable[[Signer], str]
