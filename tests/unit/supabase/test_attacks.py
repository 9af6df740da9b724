"""Every known attack on a token is refused, each for its own reason."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sba_supabase import AuthSettings, KeySet, TokenError, TokenVerifier
from tests.unit.supabase.issuer import (
    ISSUER,
    NOW,
    TENANT,
    USER,
    Clock,
    Forge,
    Signer,
    b64,
    hmac_token,
    honest,
    jwks,
    packed,
)
from tests.unit.supabase.key_host import KeyHost

ATTACKER = Signer.es256()
HOSTILE_URL = "http://127.0.0.1:9/evil.json"


def with_header(**members: object) -> Forge:
    return lambda signer: signer.token(header=members)


def with_claims(**claims: object) -> Forge:
    return lambda signer: signer.token(**claims)


def without_kid(signer: Signer) -> str:
    return signer.sign(packed({"alg": "ES256", "typ": "JWT"}), packed(honest()))


def with_raw_claim(text: str) -> Forge:
    """A payload with one member written by hand, for what `json.dumps` does not write."""
    name = json.loads(f"[{text.split(':', maxsplit=1)[0]}]")[0]

    def forge(signer: Signer) -> str:
        payload = packed(honest(**{name: ...}))[:-1] + f",{text}}}".encode()
        return signer.sign(packed(signer.header), payload)

    return forge


def with_payload(payload: bytes) -> Forge:
    return lambda signer: signer.sign(packed(signer.header), payload)


def with_raw_header(header: bytes) -> Forge:
    return lambda signer: signer.sign(header, packed(honest()))


def segments(signer: Signer) -> list[str]:
    return signer.token().split(".")


def unsigned(algorithm: str) -> Forge:
    def forge(signer: Signer) -> str:
        header = packed({**signer.header, "alg": algorithm})
        return f"{b64(header)}.{b64(packed(honest()))}."

    return forge


def fake_signature(algorithm: str) -> Forge:
    return lambda signer: unsigned(algorithm)(signer) + b64(b"signature")


def hmac_with_public_key(signer: Signer) -> str:
    pem = signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hmac_token(pem, {"kid": signer.kid})


def by_attacker(**header: object) -> Forge:
    return lambda _signer: ATTACKER.token(header=header)


def noncanonical(signer: Signer) -> str:
    """The same signature bytes with other unused bits in the last character."""
    head, payload, signature = segments(signer)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(signature[-1]) ^ 1]
    same = base64.urlsafe_b64decode(signature[:-1] + last + "==")
    assert same == base64.urlsafe_b64decode(signature + "==")
    return f"{head}.{payload}.{signature[:-1]}{last}"


def swapped_payload(signer: Signer) -> str:
    head, _, signature = segments(signer)
    return f"{head}.{b64(packed(honest(sub=str(TENANT))))}.{signature}"


def der_signature(signer: Signer) -> str:
    head, payload, _ = segments(signer)
    return f"{head}.{payload}.{b64(signer.key.sign(f'{head}.{payload}'.encode(), ECDSA(hashes.SHA256())))}"


def zero_signature(signer: Signer) -> str:
    """r = s = 0, which broken verifiers take for any message."""
    head, payload, _ = segments(signer)
    return f"{head}.{payload}.{b64(bytes(64))}"


def shortened(signer: Signer) -> str:
    head, payload, signature = segments(signer)
    return f"{head}.{payload}.{b64(base64.urlsafe_b64decode(signature + '==')[:-1])}"


def joined(separator: str) -> Forge:
    return lambda signer: separator.join(segments(signer))


def edited(change: Any) -> Forge:
    return lambda signer: change(signer.token())


EMBEDDED = {key: value for key, value in ATTACKER.jwk.items() if key not in {"use", "key_ops"}}

ATTACKS: dict[str, tuple[Forge, str]] = {
    # the envelope
    "empty": (lambda _: "", "token_missing"),
    "one dot": (lambda _: ".", "token_malformed"),
    "two dots": (lambda _: "..", "token_malformed"),
    "no dots": (edited(lambda token: token.replace(".", "")), "token_malformed"),
    "two segments": (edited(lambda token: token.rpartition(".")[0]), "token_malformed"),
    "four segments": (edited(lambda token: f"{token}.e30"), "token_malformed"),
    "five segments of an encrypted token": (edited(lambda token: f"{token}.e30.e30"), "token_malformed"),
    "JSON serialisation": (
        lambda signer: json.dumps(
            dict(zip(("protected", "payload", "signature"), segments(signer), strict=True))
        ),
        "token_malformed",
    ),
    "9 KiB": (with_claims(padding="x" * 9000), "token_too_large"),
    "a megabyte of dots": (lambda _: "." * 1_000_000, "token_too_large"),
    "Bearer left on": (edited(lambda token: f"Bearer {token}"), "token_malformed"),
    "leading space": (edited(lambda token: f" {token}"), "token_malformed"),
    "trailing newline": (edited(lambda token: f"{token}\n"), "token_malformed"),
    "trailing bytes": (edited(lambda token: f"{token}AAAA"), "signature_wrong"),
    "trailing NUL": (edited(lambda token: f"{token}\0"), "token_malformed"),
    "padding": (edited(lambda token: f"{token}=="), "token_malformed"),
    "inner newline": (joined(".\n"), "token_malformed"),
    "alien character in base64": (edited(lambda token: token.replace(".", ".!", 1)), "token_malformed"),
    "standard base64 alphabet": (lambda _: "e30.+/+/.e30", "token_malformed"),
    "segment of impossible length": (
        edited(lambda token: token[: token.rindex(".")] + ".A"),
        "token_malformed",
    ),
    "non-canonical base64": (noncanonical, "token_malformed"),
    "non-ASCII": (edited(lambda token: f"{token}é"), "token_malformed"),
    "fullwidth letters": (edited(lambda token: f"\uff45{token[1:]}"), "token_malformed"),
    "lone surrogate": (edited(lambda token: f"{token}\ud800"), "token_malformed"),
    # the header
    "header is no JSON": (with_raw_header(b"{"), "token_malformed"),
    "header is a list": (with_raw_header(b"[]"), "token_malformed"),
    "header is a number": (with_raw_header(b"1"), "token_malformed"),
    "header in UTF-16": (with_raw_header(json.dumps({"alg": "ES256"}).encode("utf-16")), "token_malformed"),
    "header with a byte order mark": (with_raw_header(b"\xef\xbb\xbf{}"), "token_malformed"),
    "header with trailing text": (with_raw_header(b'{"alg":"ES256"}x'), "token_malformed"),
    "alg twice": (with_raw_header(b'{"alg":"none","alg":"ES256","kid":"k1"}'), "member_duplicated"),
    "alg twice, one escaped": (with_raw_header(b'{"alg":"ES256","\\u0061lg":"none"}'), "member_duplicated"),
    "no alg": (with_raw_header(b'{"kid":"k1"}'), "algorithm_refused"),
    "alg is null": (with_header(alg=None), "algorithm_refused"),
    "alg is a list": (with_header(alg=["ES256"]), "algorithm_refused"),
    "alg none": (fake_signature("none"), "algorithm_refused"),
    "alg None": (fake_signature("None"), "algorithm_refused"),
    "alg none and no signature": (unsigned("none"), "token_malformed"),
    "signature stripped": (unsigned("ES256"), "token_malformed"),
    "alg in lower case": (with_header(alg="es256"), "algorithm_refused"),
    "alg of another key type": (with_header(alg="RS256"), "algorithm_refused"),
    "alg EdDSA on an EC key": (with_header(alg="EdDSA"), "algorithm_refused"),
    "alg ES256K": (with_header(alg="ES256K"), "algorithm_refused"),
    "alg ES512": (with_header(alg="ES512"), "algorithm_refused"),
    "alg unknown": (with_header(alg="XS256"), "algorithm_refused"),
    "HMAC with the public key": (hmac_with_public_key, "algorithm_refused"),
    "HMAC with an empty secret": (lambda signer: hmac_token(b"", {"kid": signer.kid}), "algorithm_refused"),
    "typ of another kind": (with_header(typ="at+jwt"), "type_wrong"),
    "typ JWE": (with_header(typ="JWE"), "type_wrong"),
    "typ is a number": (with_header(typ=1), "type_wrong"),
    "typ is null": (with_header(typ=None), "type_wrong"),
    "crit unknown": (with_header(crit=["exp"], exp=1), "extension_unknown"),
    "crit empty": (with_header(crit=[]), "extension_unknown"),
    "crit is no list": (with_header(crit="b64"), "extension_unknown"),
    "b64 false and critical": (with_header(b64=False, crit=["b64"]), "extension_unknown"),
    "b64 false": (with_header(b64=False), "header_refused"),
    "compressed": (with_header(zip="DEF"), "header_refused"),
    "jku": (by_attacker(jku=HOSTILE_URL), "header_refused"),
    "jku on an honest token": (with_header(jku=HOSTILE_URL), "header_refused"),
    "x5u": (by_attacker(x5u=HOSTILE_URL), "header_refused"),
    "x5c": (by_attacker(x5c=["MIIB"]), "header_refused"),
    "embedded jwk": (by_attacker(jwk=EMBEDDED), "header_refused"),
    "no kid": (without_kid, "key_unknown"),
    "kid unknown": (with_header(kid="k2"), "key_unknown"),
    "kid empty": (with_header(kid=""), "key_unknown"),
    "kid is a number": (with_header(kid=1), "key_unknown"),
    "kid is a list": (with_header(kid=["k1"]), "key_unknown"),
    "kid is a path": (with_header(kid="../../../../dev/null"), "key_unknown"),
    "kid is SQL": (with_header(kid="k1' or '1'='1"), "key_unknown"),
    "kid of 5 KB": (with_header(kid="k" * 5000), "key_unknown"),
    # the signature
    "signed by another key of that name": (by_attacker(), "signature_wrong"),
    "payload swapped": (swapped_payload, "signature_wrong"),
    "signature in DER": (der_signature, "signature_wrong"),
    "signature of zeros": (zero_signature, "signature_wrong"),
    "signature cut short": (shortened, "signature_wrong"),
    # the claims
    "payload is no JSON": (with_payload(b"not json"), "payload_malformed"),
    "payload is a list": (with_payload(b"[1]"), "payload_malformed"),
    "payload is a nested token": (
        lambda signer: with_payload(signer.token().encode())(signer),
        "payload_malformed",
    ),
    "payload of bad UTF-8": (with_payload(b'{"sub":"\xff"}'), "payload_malformed"),
    "payload nested 5,000 deep": (with_payload(b'{"a":' + b"[" * 5000), "payload_malformed"),
    "payload with trailing text": (with_payload(packed(honest()) + b"{}"), "payload_malformed"),
    "payload with a NUL": (with_payload(packed(honest()) + b"\0"), "payload_malformed"),
    "sub twice": (with_payload(b'{"sub":"a",' + packed(honest())[1:]), "member_duplicated"),
    "tenant twice": (
        with_raw_claim(f'"app_metadata":{{"tenant_id":"{USER}","tenant_id":"{TENANT}"}}'),
        "member_duplicated",
    ),
    "member twice deep inside": (with_raw_claim('"amr":[{"a":{"b":1,"b":2}}]'), "member_duplicated"),
    "exp missing": (with_claims(exp=...), "claim_missing"),
    "iat missing": (with_claims(iat=...), "claim_missing"),
    "sub missing": (with_claims(sub=...), "claim_missing"),
    "iss missing": (with_claims(iss=...), "claim_missing"),
    "aud missing": (with_claims(aud=...), "claim_missing"),
    "exp null": (with_claims(exp=None), "claim_missing"),
    "exp passed": (with_claims(exp=NOW - 11), "token_expired"),
    "exp zero": (with_claims(exp=0), "token_expired"),
    "exp negative": (with_claims(exp=-1), "claim_invalid"),
    "exp in text": (with_claims(exp=str(NOW + 60)), "claim_invalid"),
    "exp true": (with_claims(exp=True), "claim_invalid"),
    "exp a list": (with_claims(exp=[NOW + 60]), "claim_invalid"),
    "exp NaN": (with_raw_claim('"exp":NaN'), "payload_malformed"),
    "exp Infinity": (with_raw_claim('"exp":Infinity'), "payload_malformed"),
    "exp -Infinity": (with_raw_claim('"exp":-Infinity'), "payload_malformed"),
    "exp overflowing to infinity": (with_raw_claim('"exp":1e999'), "claim_invalid"),
    "exp of 400 digits": (with_raw_claim('"exp":' + "9" * 400), "claim_invalid"),
    "exp of 5,000 digits": (with_raw_claim('"exp":' + "9" * 5000), "payload_malformed"),
    "exp after the year 9999": (with_claims(exp=253_402_300_800), "claim_invalid"),
    "iat ahead": (with_claims(iat=NOW + 11), "issued_in_future"),
    "iat in text": (with_claims(iat="0"), "claim_invalid"),
    "iat true": (with_claims(iat=True), "claim_invalid"),
    "iat infinite": (with_raw_claim('"iat":-1e999'), "claim_invalid"),
    "nbf ahead": (with_claims(nbf=NOW + 11), "token_not_yet_valid"),
    "nbf in text": (with_claims(nbf="0"), "claim_invalid"),
    "nbf null": (with_claims(nbf=None), "claim_invalid"),
    "iss of another project": (with_claims(iss="https://evil.example.co/auth/v1"), "issuer_wrong"),
    "iss with a slash": (with_claims(iss=f"{ISSUER}/"), "issuer_wrong"),
    "iss as a prefix": (with_claims(iss=f"{ISSUER}.evil.example"), "issuer_wrong"),
    "iss in another case": (with_claims(iss=ISSUER.upper()), "issuer_wrong"),
    "iss a list": (with_claims(iss=[ISSUER]), "issuer_wrong"),
    "aud another": (with_claims(aud="another"), "audience_wrong"),
    "aud a list with ours": (with_claims(aud=["authenticated"]), "audience_wrong"),
    "aud a list of two": (with_claims(aud=["authenticated", "another"]), "audience_wrong"),
    "aud an object": (with_claims(aud={"authenticated": True}), "audience_wrong"),
    "aud a prefix": (with_claims(aud="authenticate"), "audience_wrong"),
    "sub a number": (with_claims(sub=1), "claim_invalid"),
    "sub a list": (with_claims(sub=[str(USER)]), "claim_invalid"),
    "sub empty": (with_claims(sub=""), "claim_invalid"),
    "sub no UUID": (with_claims(sub="admin"), "claim_invalid"),
    "sub in braces": (with_claims(sub=f"{{{USER}}}"), "claim_invalid"),
    "sub as a URN": (with_claims(sub=f"urn:uuid:{USER}"), "claim_invalid"),
    "sub without hyphens": (with_claims(sub=USER.hex), "claim_invalid"),
    "sub in upper case": (with_claims(sub=str(USER).upper()), "claim_invalid"),
    "sub with fullwidth digits": (with_claims(sub=str(USER).replace("0", "\uff10")), "claim_invalid"),
    "role service_role": (with_claims(role="service_role"), "role_refused"),
    "role anon": (with_claims(role="anon"), "role_refused"),
    "role postgres": (with_claims(role="postgres"), "role_refused"),
    "role empty": (with_claims(role=""), "role_refused"),
    "role null": (with_claims(role=None), "role_refused"),
    "role a list": (with_claims(role=["authenticated"]), "role_refused"),
    "role in another case": (with_claims(role="Authenticated"), "role_refused"),
    "app_metadata in text": (with_claims(app_metadata=f'{{"tenant_id":"{TENANT}"}}'), "claim_invalid"),
    "tenant a list": (with_claims(app_metadata={"tenant_id": [str(TENANT)]}), "claim_invalid"),
    "tenant no UUID": (with_claims(app_metadata={"tenant_id": "*"}), "claim_invalid"),
    "tenant empty": (with_claims(app_metadata={"tenant_id": ""}), "claim_invalid"),
    "session a number": (with_claims(session_id=1), "claim_invalid"),
    "session endless": (with_claims(session_id="s" * 200), "claim_invalid"),
    "session with a line break": (with_claims(session_id="a\nb"), "claim_invalid"),
    "session with a NUL": (with_claims(session_id="a\0"), "claim_invalid"),
    "session with a lone surrogate": (with_claims(session_id="\ud800"), "claim_invalid"),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_refused_for_its_own_reason(name: str, signer: Signer, verifier: TokenVerifier):
    forge, code = ATTACKS[name]
    token = forge(signer)
    for _ in range(2):
        with pytest.raises(TokenError) as refused:
            await verifier.verify(token)
        assert refused.value.code == code


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_refusal_repeats_nothing_of_the_token(name: str, signer: Signer, verifier: TokenVerifier):
    token = ATTACKS[name][0](signer)
    with pytest.raises(TokenError) as refused:
        await verifier.verify(token)
    said = f"{refused.value} {refused.value!r}"
    for part in (token, *token.split("."), str(USER), str(TENANT), HOSTILE_URL, "evil", "service_role"):
        assert len(part) < 4 or part not in said


@pytest.mark.parametrize("token", [b"e30.e30.e30", 7, ["e30"], {"token": "e30"}])
async def test_what_is_no_text_is_malformed(token: Any, verifier: TokenVerifier):
    with pytest.raises(TokenError) as refused:
        await verifier.verify(token)
    assert refused.value.code == "token_malformed"


async def test_no_token_is_missing(verifier: TokenVerifier):
    with pytest.raises(TokenError) as refused:
        await verifier.verify(None)
    assert refused.value.code == "token_missing"


async def test_addresses_in_a_header_are_never_followed(host: KeyHost, verifier: TokenVerifier):
    async with KeyHost().running() as hostile:
        hostile.publishes(jwks(ATTACKER))
        for header in ({"jku": hostile.url}, {"x5u": hostile.url}, {"jku": hostile.url, "kid": "k2"}):
            with pytest.raises(TokenError):
                await verifier.verify(ATTACKER.token(header=header))
        assert hostile.hits == 0
    assert host.hits == 0


@pytest.mark.parametrize("kid", ["", 1, ["k1"], "k" * 257])
async def test_a_name_that_no_key_can_have_is_not_asked_for(
    kid: object, host: KeyHost, verifier: TokenVerifier, signer: Signer
):
    with pytest.raises(TokenError) as refused:
        await verifier.verify(signer.token(header={"kid": kid}))
    assert refused.value.code == "key_unknown"
    assert host.hits == 0


async def test_an_algorithm_that_is_not_allowed_is_refused_even_with_a_published_key(
    host: KeyHost, http: httpx.AsyncClient, clock: Clock
):
    strong = Signer.rs256("rsa")
    host.publishes(jwks(strong))
    settings = AuthSettings(issuer=ISSUER, algorithms=("ES256",))
    verifier = TokenVerifier(settings, keys=KeySet(host.url, http=http, clock=clock), clock=clock)
    with pytest.raises(TokenError) as refused:
        await verifier.verify(strong.token())
    assert refused.value.code == "algorithm_refused"
    assert host.hits == 0


async def test_a_key_serves_one_algorithm_only(host: KeyHost, verifier: TokenVerifier, signer: Signer):
    other = Signer.eddsa("ed")
    host.publishes(jwks(signer, other))
    assert (await verifier.verify(other.token())).user_id == USER
    with pytest.raises(TokenError) as refused:
        await verifier.verify(signer.token(header={"kid": "ed"}))
    assert refused.value.code == "algorithm_refused"


def test_the_reference_library_agrees_that_the_honest_token_is_honest(signer: Signer):
    claims = jwt.decode(
        signer.token(),
        jwt.PyJWK(signer.jwk),
        audience="authenticated",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims == honest()
