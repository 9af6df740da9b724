"""Whatever comes in, the answer is a principal or a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sba_supabase import AuthSettings, KeySet, Principal, TokenError, TokenVerifier
from sba_supabase.auth.jwk import read_key_set
from tests.unit.supabase.issuer import ISSUER, USER, Clock, Signer, honest, jwks, packed

SIGNER = Signer.es256()
HONEST = SIGNER.token()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HEADER_NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x5u", "cty", "zip"])
CLAIM_NAMES = st.sampled_from(sorted([*honest(), "nbf", "jti"]))


@pytest.fixture(scope="module")
def verdict() -> Iterator[object]:
    def published(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=jwks(SIGNER))

    clock = Clock()
    with asyncio.Runner() as runner:
        http = httpx.AsyncClient(transport=httpx.MockTransport(published))
        keys = KeySet("https://keys.example.co", http=http, clock=clock)
        verifier = TokenVerifier(AuthSettings(issuer=ISSUER), keys=keys, clock=clock)

        def judge(token: str) -> Principal | str:
            try:
                return runner.run(verifier.verify(token))
            except TokenError as refused:
                return refused.code

        yield judge
        runner.run(http.aclose())


@settings(max_examples=300, deadline=None)
@given(token=st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_random_text_is_refused(verdict, token: str):
    assert isinstance(verdict(token), str)


@settings(max_examples=300, deadline=None)
@given(
    segments=st.lists(st.text("ABCDabcd0123-_", max_size=40), min_size=3, max_size=3),
)
def test_random_segments_are_refused(verdict, segments: list[str]):
    assert isinstance(verdict(".".join(segments)), str)


@settings(max_examples=400, deadline=None)
@given(
    place=st.integers(0, len(HONEST) - 1),
    character=st.characters(codec="utf-8"),
    length=st.integers(0, 3),
)
def test_a_mutated_token_is_refused(verdict, place: int, character: str, length: int):
    mutated = HONEST[:place] + character + HONEST[place + length :]
    if mutated != HONEST:
        assert isinstance(verdict(mutated), str)


@settings(max_examples=300, deadline=None)
@given(header=st.dictionaries(HEADER_NAMES, JSON, max_size=4))
def test_a_signed_token_with_any_header_never_escapes(verdict, header: dict[str, object]):
    answer = verdict(SIGNER.sign(packed({**SIGNER.header, **header}), packed(honest())))
    assert isinstance(answer, str) or answer.user_id == USER


@settings(max_examples=500, deadline=None)
@given(claims=st.dictionaries(CLAIM_NAMES, JSON, max_size=4))
def test_a_signed_token_with_any_claims_never_escapes(verdict, claims: dict[str, object]):
    answer = verdict(SIGNER.token(**claims))
    assert isinstance(answer, str) or answer.role == "authenticated"


@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=300), header=st.binary(max_size=100))
def test_a_signed_token_of_any_bytes_never_escapes(verdict, payload: bytes, header: bytes):
    assert isinstance(verdict(SIGNER.sign(packed(SIGNER.header), payload)), str)
    assert isinstance(verdict(SIGNER.sign(header, packed(honest()))), str)


KEY_MEMBERS = st.sampled_from(
    ["kid", "kty", "crv", "alg", "use", "key_ops", "x", "y", "n", "e", "d", "k", "x5c", "oth"]
)
KEY_VALUES = JSON | st.sampled_from(
    [
        "EC",
        "RSA",
        "OKP",
        "oct",
        "P-256",
        "Ed25519",
        "ES256",
        "RS256",
        "EdDSA",
        "sig",
        "AQAB",
        "A" * 43,
        "B" * 342,
    ]
)


@settings(max_examples=500, deadline=None)
@given(
    entries=st.lists(JSON | st.dictionaries(KEY_MEMBERS, KEY_VALUES, max_size=8), max_size=5),
    changes=st.dictionaries(KEY_MEMBERS, KEY_VALUES, max_size=3),
)
def test_a_key_set_of_any_shape_is_read_or_refused(entries: list[object], changes: dict[str, object]):
    document = packed({"keys": [*entries, {**SIGNER.jwk, **changes}]})
    try:
        keys = read_key_set(document)
    except ValueError:
        return
    assert all(key.algorithm in {"ES256", "RS256", "EdDSA"} for key in keys.values())


@settings(max_examples=200, deadline=None)
@given(document=st.binary(max_size=200) | JSON.map(packed))
def test_any_bytes_are_a_key_set_or_none(document: bytes):
    try:
        assert isinstance(read_key_set(document), dict)
    except ValueError:
        return
