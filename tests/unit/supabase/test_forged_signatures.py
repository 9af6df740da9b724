"""Signatures that only a careless verifier takes, made by hand for each algorithm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from sba_supabase import (
    AuthSettings,
    KeySet,
    ProjectSettings,
    SettingsError,
    TokenError,
    TokenVerifier,
    load_settings,
)
from tests.unit.supabase.issuer import ISSUER, USER, Clock, Signer, b64, hmac_token, honest, jwks, packed
from tests.unit.supabase.key_host import KeyHost

EC, RSA, ED = Signer.es256("ec"), Signer.rs256("rsa"), Signer.eddsa("ed")
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
L = 2**252 + 27742317777372353535851937790883648493
IDENTITY = (1).to_bytes(32, "little")
DIGEST_INFO = {
    "sha256": "3031300d060960864801650304020105000420",
    "sha1": "3021300906052b0e03021a05000414",
    "sha512": "3051300d060960864801650304020305000440",
    "sha256 without NULL": "302f300b0609608648016503040201" + "0420",
    "sha256 with a long length": "308131300d060960864801650304020105000420",
}
Make = Callable[[bytes], bytes]


def token(signer: Signer, make: Make) -> str:
    """An honest header and payload, with a signature made so."""
    signing_input = f"{b64(packed(signer.header))}.{b64(packed(honest()))}"
    return f"{signing_input}.{b64(make(signing_input.encode()))}"


def pair(r: int, s: int, width: int = 32) -> Make:
    return lambda _: r.to_bytes(width, "big") + s.to_bytes(width, "big")


def ec(change: Callable[[int, int], bytes]) -> Make:
    """A signature of the honest key, its numbers written in another way."""

    def make(data: bytes) -> bytes:
        return change(*decode_dss_signature(EC.key.sign(data, jwt.algorithms.ECDSA(hashes.SHA256()))))

    return make


def wide(r: int, s: int, width: int = 32) -> bytes:
    return r.to_bytes(width, "big") + s.to_bytes(width, "big")


def raw_rsa(message: bytes) -> bytes:
    """What the private key makes of these bytes, whatever they are."""
    numbers = RSA.key.private_numbers()
    return pow(int.from_bytes(message, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big")


def padded(info: str = "sha256", *, hash_: str = "sha256", kind: int = 1, tail: bytes = b"") -> Make:
    """PKCS #1 v1.5, or nearly."""

    def make(data: bytes) -> bytes:
        body = bytes.fromhex(DIGEST_INFO[info]) + hashlib.new(hash_, data).digest() + tail
        return raw_rsa(bytes([0, kind]) + b"\xff" * (253 - len(body)) + b"\0" + body)

    return make


def short_padding(data: bytes) -> bytes:
    """Eight bytes of padding and rubbish behind the digest."""
    body = bytes.fromhex(DIGEST_INFO["sha256"]) + hashlib.sha256(data).digest()
    return raw_rsa((b"\0\1" + b"\xff" * 8 + b"\0" + body).ljust(256, b"\0"))


def bare_digest(data: bytes) -> bytes:
    return raw_rsa(b"\0\1" + b"\xff" * 221 + b"\0" + hashlib.sha256(data).digest())


def pss(data: bytes) -> bytes:
    return RSA.key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def beyond_modulus(data: bytes) -> bytes:
    """The honest signature and the modulus: the same number modulo it."""
    number = int.from_bytes(padded()(data), "big") + RSA.key.public_key().public_numbers().n
    return number.to_bytes(257, "big")


def beyond_order(data: bytes) -> bytes:
    """S + L, which fits wherever S is not held against the order of the group."""
    signature = ED.key.sign(data)
    return signature[:32] + (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")


EDGES = {"0": 0, "1": 1, "n - 1": N - 1, "n": N, "n + 1": N + 1, "2^256 - 1": 2**256 - 1}
FORGED: dict[str, tuple[Signer, Make]] = {
    **{f"r = {r}, s = {s}": (EC, pair(EDGES[r], EDGES[s])) for r in EDGES for s in EDGES},
    "r and s of 33 octets": (EC, ec(lambda r, s: wide(r, s, 33))),
    "r + n": (EC, ec(lambda r, s: wide(r + N, s, 33))),
    "s + n": (EC, ec(lambda r, s: wide(r, s + N, 33))),
    "r and s of 1,000 octets": (EC, ec(lambda r, s: wide(r, s, 1000))),
    "s before r": (EC, ec(lambda r, s: wide(s, r))),
    "r negated": (EC, ec(lambda r, s: wide(N - r, s))),
    "numbers with their ends exchanged": (EC, ec(lambda r, s: wide(r, s)[::-1])),
    "EC with a zero behind": (EC, ec(lambda r, s: wide(r, s) + b"\0")),
    "EC with a zero before": (EC, ec(lambda r, s: b"\0" + wide(r, s))),
    "r alone": (EC, ec(lambda r, s: wide(r, s)[:32])),
    "EC over SHA-384": (
        EC,
        lambda data: wide(*decode_dss_signature(EC.key.sign(data, jwt.algorithms.ECDSA(hashes.SHA384())))),
    ),
    "RSA-PSS": (RSA, pss),
    "RSA over SHA-1": (RSA, padded("sha1", hash_="sha1")),
    "RSA over SHA-512": (RSA, padded("sha512", hash_="sha512")),
    "a digest of another name": (RSA, padded("sha1")),
    "no NULL in the digest's name": (RSA, padded("sha256 without NULL")),
    "a length in long form": (RSA, padded("sha256 with a long length")),
    "padding of type 2": (RSA, padded(kind=2)),
    "padding of type 0": (RSA, padded(kind=0)),
    "rubbish behind the digest": (RSA, padded(tail=b"\0\0")),
    "short padding": (RSA, short_padding),
    "a digest without its name": (RSA, bare_digest),
    "RSA of zero": (RSA, lambda _: bytes(256)),
    "RSA of one": (RSA, lambda _: bytes(255) + b"\1"),
    "RSA signature + modulus": (RSA, beyond_modulus),
    "RSA with a zero before": (RSA, lambda data: b"\0" + padded()(data)),
    "RSA with a zero behind": (RSA, lambda data: padded()(data) + b"\0"),
    "RSA cut short": (RSA, lambda data: padded()(data)[:-1]),
    "RSA of one octet": (RSA, lambda _: b"\1"),
    "S + L": (ED, beyond_order),
    "R and S of nobody": (ED, lambda _: IDENTITY + bytes(32)),
    "R = S = 0": (ED, lambda _: bytes(64)),
    "Ed25519 cut short": (ED, lambda data: ED.key.sign(data)[:63]),
    "Ed25519 with a zero behind": (ED, lambda data: ED.key.sign(data) + b"\0"),
    "an ECDSA signature for an Ed25519 key": (ED, ec(wide)),
}


@pytest.fixture
def published(host: KeyHost) -> KeyHost:
    host.publishes(jwks(EC, RSA, ED))
    return host


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_signature_does_not_fit(name: str, published: KeyHost, verifier: TokenVerifier):
    signer, make = FORGED[name]
    with pytest.raises(TokenError) as refused:
        await verifier.verify(token(signer, make))
    assert refused.value.code == "signature_wrong"


@pytest.mark.parametrize(
    ("signer", "make"),
    [(RSA, padded()), (EC, ec(wide)), (EC, ec(lambda r, s: wide(r, N - s))), (ED, ED.key.sign)],
    ids=["RS256", "ES256", "ES256 mirrored", "EdDSA"],
)
async def test_what_the_forgeries_are_made_of_is_honest(
    signer: Signer, make: Make, published: KeyHost, verifier: TokenVerifier
):
    assert (await verifier.verify(token(signer, make))).user_id == USER


@pytest.mark.parametrize("signer", [EC, RSA, ED], ids=lambda signer: signer.algorithm)
@pytest.mark.parametrize("part", range(3))
async def test_no_bit_of_a_token_is_loose(
    signer: Signer, part: int, published: KeyHost, verifier: TokenVerifier
):
    segments = signer.token().split(".")
    text = segments[part]
    for place in (0, len(text) // 2, len(text) - 1):
        for other in "ABgw-_":
            changed = text[:place] + other + text[place + 1 :]
            if changed != text:
                with pytest.raises(TokenError):
                    await verifier.verify(".".join([*segments[:part], changed, *segments[part + 1 :]]))


def spellings(signer: Signer) -> Mapping[str, bytes]:
    """Everything a public key can be mistaken for a secret as."""
    key: Any = signer.key.public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    numbers = [name for name in ("x", "y", "n") if name in signer.jwk]
    made = {
        "PEM": pem,
        "PEM without its last newline": pem.rstrip(),
        "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "DER": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": packed(signer.jwk),
        "JWK with spaces": json.dumps(signer.jwk).encode(),
        "JWKS": jwks(signer),
        **{f"{name} in text": signer.jwk[name].encode() for name in numbers},
        **{name: jwt.utils.base64url_decode(signer.jwk[name]) for name in numbers},
        "kid": signer.kid.encode(),
    }
    if signer is RSA:
        made["PKCS #1"] = key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    if signer is EC:
        made["point"] = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        made["compressed point"] = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return made


@pytest.mark.parametrize("secret", [None, "the secret of an old project, " + "s" * 32])
@pytest.mark.parametrize("signer", [EC, RSA, ED], ids=lambda signer: signer.algorithm)
async def test_a_public_key_is_no_secret_however_it_is_spelled(
    signer: Signer, secret: str | None, published: KeyHost, make_keys: Callable[..., KeySet], clock: Clock
):
    settings = AuthSettings(issuer=ISSUER, legacy_secret=None if secret is None else SecretStr(secret))
    verifier = TokenVerifier(settings, keys=make_keys(), clock=clock)
    for bytes_ in spellings(signer).values():
        for header in ({"kid": signer.kid}, {"kid": signer.kid, "alg": "HS256"}, {}):
            with pytest.raises(TokenError) as refused:
                await verifier.verify(hmac_token(bytes_, header))
            assert refused.value.code == ("algorithm_refused" if secret is None else "signature_wrong")


@pytest.mark.parametrize("signer", [EC, RSA, ED], ids=lambda signer: signer.algorithm)
def test_a_public_key_given_as_the_legacy_secret_stops_the_start(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SUPABASE_URL", "https://project.example.co")
    for name, bytes_ in spellings(signer).items():
        if "PEM" in name or "JWK" in name or name == "PKCS #1":
            text = bytes_.decode()
            with pytest.raises(SettingsError, match="legacy_secret"):
                AuthSettings(issuer=ISSUER, legacy_secret=SecretStr(text))
            monkeypatch.setenv("SUPABASE_JWT_SECRET", text)
            with pytest.raises(SettingsError, match="SUPABASE_JWT_SECRET") as refused:
                load_settings(ProjectSettings)
            assert text not in str(refused.value)
