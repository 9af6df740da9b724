"""A published key is usable only when all it says about itself agrees."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from sba_supabase.auth.jwk import read_key, read_key_set
from tests.unit.supabase.issuer import Signer, packed

EC, RSA, ED = Signer.es256(), Signer.rs256(), Signer.eddsa()
WEAK = Signer.rs256(bits=1024)
P384 = {**ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True), "kid": "k1"}
ED448 = {**OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True), "kid": "k1"}


def changed(signer: Signer, **members: object) -> dict[str, Any]:
    """A published key with some members replaced; `...` leaves one out."""
    return {name: value for name, value in {**signer.jwk, **members}.items() if value is not ...}


@pytest.mark.parametrize("signer", [EC, RSA, ED], ids=lambda signer: signer.algorithm)
def test_an_honest_key_is_for_its_algorithm(signer: Signer):
    key = read_key(signer.jwk)
    assert key is not None
    assert (key.kid, key.algorithm) == ("k1", signer.algorithm)


@pytest.mark.parametrize("signer", [EC, RSA, ED], ids=lambda signer: signer.algorithm)
def test_what_a_key_may_leave_out_may_be_left_out(signer: Signer):
    key = read_key(changed(signer, alg=..., use=..., key_ops=...))
    assert key is not None
    assert key.algorithm == signer.algorithm


def test_a_key_shows_only_its_name():
    assert EC.jwk["x"] not in repr(read_key(EC.jwk))


UNUSABLE: dict[str, dict[str, Any]] = {
    "no kid": changed(EC, kid=...),
    "kid empty": changed(EC, kid=""),
    "kid a number": changed(EC, kid=1),
    "kid too long": changed(EC, kid="k" * 257),
    "no kty": changed(EC, kty=...),
    "kty a list": changed(EC, kty=["EC"]),
    "kty of another curve's": changed(EC, kty="OKP"),
    "kty unknown": changed(EC, kty="XX"),
    "no crv": changed(EC, crv=...),
    "crv another": changed(EC, crv="P-384"),
    "crv a list": changed(EC, crv=["P-256"]),
    "crv on an RSA key": changed(RSA, crv="P-256"),
    "P-384": P384,
    "Ed448": ED448,
    "alg of another type": changed(EC, alg="RS256"),
    "alg HS256": changed(EC, alg="HS256"),
    "alg none": changed(EC, alg="none"),
    "alg null": changed(EC, alg=None),
    "RS512 on an RSA key": changed(RSA, alg="RS512"),
    "PS256 on an RSA key": changed(RSA, alg="PS256"),
    "for encryption": changed(EC, use="enc"),
    "use null": changed(EC, use=None),
    "for signing only": changed(EC, key_ops=["sign"]),
    "for nothing": changed(EC, key_ops=[]),
    "key_ops in text": changed(EC, key_ops="verify"),
    "symmetric": {"kty": "oct", "kid": "k1", "alg": "HS256", "k": "c2VjcmV0"},
    "with its private half": changed(EC, d="AAAA"),
    "RSA with a prime": changed(RSA, p="AAAA"),
    "RSA of 1024 bits": WEAK.jwk,
    "RSA of endless bits": changed(RSA, n="z" * 60_000),
    "RSA with e = 1": changed(RSA, e="AQ"),
    "RSA without n": changed(RSA, n=...),
    "n a number": changed(RSA, n=65537),
    "x missing": changed(EC, x=...),
    "x a number": changed(EC, x=1),
    "x of no base64": changed(EC, x="!!!"),
    "a point off the curve": changed(EC, x=EC.jwk["y"], y=EC.jwk["x"]),
    "a point at zero": changed(EC, x="A" * 43, y="A" * 43),
    "Ed25519 too short": changed(ED, x="AAAA"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_contradicts_itself_is_not_used(name: str):
    assert read_key(UNUSABLE[name]) is None


def test_an_unusable_key_takes_none_of_its_neighbours_along():
    ed = Signer.eddsa("k2")
    neighbours = [*UNUSABLE.values(), 7, None, "key", [], ed.jwk]
    assert list(read_key_set(packed({"keys": neighbours}))) == ["k2"]


def test_a_name_used_twice_names_no_key():
    twice = [EC.jwk, Signer.es256("k2").jwk, Signer.rs256("k1").jwk]
    assert list(read_key_set(packed({"keys": twice}))) == ["k2"]
