"""A published key is usable only when all it says about itself agrees."""

from __future__ import annotations

import base64
import secrets
from math import isqrt, prod
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


FIELD = 2**255 - 19
ORDER_EIGHT = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826


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


def b64(number: int, width: int = 0, order: Any = "big") -> str:
    octets = number.to_bytes(width or (number.bit_length() + 7) // 8, order)
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def modulus(*factors: int) -> dict[str, Any]:
    """An RSA key of these numbers' product."""
    return changed(RSA, n=b64(prod(factors)))


SMALL = [n for n in range(2, 168) if all(n % d for d in range(2, isqrt(n) + 1))]


def sturdy(bits: int) -> int:
    """A number of that length, without small factors; whether it is prime does not matter here."""
    while True:
        number = secrets.randbits(bits) | 1 | 3 << (bits - 2)
        if all(number % prime and (number + 2) % prime for prime in SMALL[1:]):
            return number


def roca() -> dict[str, Any]:
    """A modulus as the primes of Infineon's library make it: a power of 65537 modulo the small primes."""
    small = prod(SMALL)
    return modulus(small * sturdy(2049 - small.bit_length()) + pow(65537, secrets.randbits(100), small))


def near() -> dict[str, Any]:
    first = sturdy(1024)
    return modulus(first, first + 2)


def point(height: int) -> dict[str, Any]:
    """An Ed25519 key of this height."""
    return changed(ED, x=b64(height, 32, "little"))


WEAK_KEYS = {
    "e = 3": changed(RSA, e="Aw"),
    "e even": changed(RSA, e=b64(65_536)),
    "e = 0": changed(RSA, e="AA"),
    "e of 33 bits": changed(RSA, e=b64(2**32 + 1)),
    "n even": modulus(2, sturdy(2048)),
    "n with a small factor": modulus(167, sturdy(2047)),
    "n a square": modulus(square := sturdy(1024), square),
    "factors of n close together": near(),
    "ROCA": roca(),
    **{
        f"Ed25519 of small order: {y:x}": point(y)
        for y in (0, 1, FIELD - 1, ORDER_EIGHT, FIELD - ORDER_EIGHT)
    },
    "Ed25519 of small order, negated": point(1 | 1 << 255),
    "Ed25519 of small order, not reduced": point(FIELD + 1),
    "Ed25519 not reduced": point(FIELD + 9),
}
MISSPELLED = {
    "x padded": changed(EC, x=EC.jwk["x"] + "="),
    "x with a line break": changed(EC, x=EC.jwk["x"][:9] + "\n" + EC.jwk["x"][9:]),
    "x in the standard alphabet": changed(EC, x="+" + EC.jwk["x"][1:]),
    "x with loose bits": changed(EC, x=EC.jwk["x"][:-1] + "B"),
    "x beyond ASCII": changed(EC, x="é" + EC.jwk["x"][1:]),
    "x with a lone surrogate": changed(EC, x="\ud800" + EC.jwk["x"][1:]),
    "x of 33 octets": changed(EC, x=b64(0, 1) + EC.jwk["x"]),
    "x of 31 octets": changed(EC, x="A" * 42),
    "x an object": changed(EC, x={}),
    "x null": changed(EC, x=None),
    "y null": changed(EC, y=None),
    "e null": changed(RSA, e=None),
    "n padded": changed(RSA, n=RSA.jwk["n"] + "=="),
    "Ed25519 of 33 octets": changed(ED, x=b64(5, 33)),
    "Ed25519 with a y": changed(ED, y=EC.jwk["y"], kty="EC"),
    "X25519": changed(ED, crv="X25519"),
    "secp256k1": changed(EC, crv="secp256k1"),
    "kid with its private half in another spelling": changed(EC, k="AAAA"),
    "RSA of more than two primes": changed(RSA, oth=[]),
}
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
    **WEAK_KEYS,
    **MISSPELLED,
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_contradicts_itself_is_not_used(name: str):
    assert read_key(UNUSABLE[name]) is None


def test_an_unusable_key_takes_none_of_its_neighbours_along():
    ed = Signer.eddsa("k2")
    neighbours = [*UNUSABLE.values(), 7, None, "key", []]
    for first in range(0, len(neighbours), 60):
        document = packed({"keys": [*neighbours[first : first + 60], ed.jwk]})
        assert list(read_key_set(document)) == ["k2"]


def test_an_unweakened_number_of_each_length_is_a_key():
    for bits in (2048, 8192):
        number = next(
            n
            for n in iter(lambda bits=bits: sturdy(bits), 0)
            if any(n % prime not in {pow(65537, e, prime) for e in range(prime)} for prime in SMALL)
        )
        assert read_key(modulus(number)) is not None
    assert read_key(modulus(sturdy(2047))) is None
    assert read_key(modulus(sturdy(8193))) is None


def test_a_name_used_twice_names_no_key():
    twice = [EC.jwk, Signer.es256("k2").jwk, Signer.rs256("k1").jwk]
    assert list(read_key_set(packed({"keys": twice}))) == ["k2"]


@pytest.mark.parametrize(
    "other",
    [
        changed(EC, use="enc"),
        {"kty": "oct", "kid": "k1", "k": "c2VjcmV0"},
        {"kid": "k1"},
        changed(EC, d="AAAA"),
    ],
    ids=["for encryption", "a secret", "nothing", "its private half"],
)
def test_a_name_is_no_key_s_as_soon_as_another_entry_bears_it(other: dict[str, Any]):
    assert read_key_set(packed({"keys": [EC.jwk, other]})) == {}
    assert read_key_set(packed({"keys": [other, EC.jwk]})) == {}


@pytest.mark.parametrize("signer", [EC, RSA, ED], ids=lambda signer: signer.algorithm)
def test_a_key_whose_private_half_is_published_under_another_name_is_nobody_s(signer: Signer):
    leaked = changed(signer, kid="k2", d="AAAA", use=...)
    assert read_key_set(packed({"keys": [signer.jwk, leaked]})) == {}


def test_secrets_and_other_keys_of_a_set_do_not_touch_the_good_one():
    others = [{"kty": "oct", "kid": "k2", "alg": "HS256", "k": "c2VjcmV0"}, changed(RSA, kid="k3", use="enc")]
    assert list(read_key_set(packed({"keys": [*others, EC.jwk]}))) == ["k1"]


@pytest.mark.parametrize(
    "key", [{"kid": ["k1"]}, {"kid": {}}, {"d": 1}, {"kty": {}, "d": []}, {"kid": "\ud800"}]
)
def test_an_entry_of_any_shape_is_passed_over(key: dict[str, Any]):
    assert list(read_key_set(packed({"keys": [key, EC.jwk]}))) == ["k1"]
