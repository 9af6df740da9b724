"""Honest tokens become principals, are remembered for a moment, and end when they must."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from sba_supabase import AuthSettings, KeySet, KeysUnavailable, Principal, TokenError, TokenVerifier
from tests.unit.supabase.issuer import ISSUER, NOW, TENANT, USER, Clock, Signer, hmac_token, jwks
from tests.unit.supabase.key_host import KeyHost, hang

SECRET = "s" * 32
Verifiers = Callable[..., TokenVerifier]


class CountingKeys:
    """A key set that counts how often a token had to be proved."""

    def __init__(self, keys: KeySet) -> None:
        self.keys = keys
        self.proofs = 0
        self.peek = keys.peek

    async def find(self, kid: str) -> object:
        self.proofs += 1
        return await self.keys.find(kid)


async def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(TokenError) as refused:
        await verifier.verify(token)
    return refused.value.code


@pytest.fixture
def counted(make_keys: Callable[..., KeySet]) -> CountingKeys:
    return CountingKeys(make_keys())


async def test_an_honest_token_is_its_principal(signer: Signer, verifier: TokenVerifier):
    principal = await verifier.verify(signer.token())
    assert principal == Principal(
        user_id=USER,
        tenant_id=TENANT,
        role="authenticated",
        expires_at=NOW + 3600,
        session_id="7d0a1b56-91c5-4f26-b0de-2f6a3f8f9c03",
    )


@pytest.mark.parametrize("metadata", [..., None, {}, {"tenant_id": None}])
async def test_a_tenant_comes_from_app_metadata_and_from_nowhere_else(
    metadata: object, signer: Signer, verifier: TokenVerifier
):
    token = signer.token(app_metadata=metadata, tenant_id=str(TENANT))
    assert (await verifier.verify(token)).tenant_id is None


@pytest.mark.parametrize("make", [Signer.es256, Signer.rs256, Signer.eddsa])
async def test_each_asymmetric_algorithm_verifies(
    make: Callable[[], Signer], host: KeyHost, verifier: TokenVerifier
):
    other = make()
    host.publishes(jwks(other))
    assert (await verifier.verify(other.token())).user_id == USER


async def test_what_an_issuer_may_leave_out_may_be_left_out(signer: Signer, verifier: TokenVerifier):
    principal = await verifier.verify(
        signer.token(session_id=..., role=..., app_metadata=..., user_metadata=...)
    )
    assert (principal.session_id, principal.role) == (None, "authenticated")


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": NOW + 9.5},
        {"nbf": NOW + 9.5},
        {"exp": NOW + 0.25, "nbf": int(NOW)},
    ],
)
async def test_clocks_may_differ_by_the_leeway(
    claims: dict[str, float], signer: Signer, verifier: TokenVerifier
):
    assert (await verifier.verify(signer.token(**claims))).user_id == USER


async def test_a_token_of_the_greatest_size_passes_and_one_byte_more_does_not(
    signer: Signer, verifier: TokenVerifier
):
    padded = next(t for n in range(5000, 6500) if len(t := signer.token(padding="x" * n)) in {8191, 8192})
    assert (await verifier.verify(padded)).user_id == USER
    assert await refusal(verifier, padded + "AA") == "token_too_large"


async def test_a_legacy_secret_admits_hs256_and_nothing_else(
    make_keys, clock: Clock, host: KeyHost, signer: Signer
):
    settings = AuthSettings(issuer=ISSUER, legacy_secret=SecretStr(SECRET))
    verifier = TokenVerifier(settings, keys=make_keys(), clock=clock)
    token = hmac_token(SECRET.encode())
    assert (await verifier.verify(token)).user_id == USER
    assert (await verifier.verify(token)).user_id == USER
    assert await refusal(verifier, hmac_token(b"t" * 32)) == "signature_wrong"
    assert await refusal(verifier, hmac_token(SECRET.encode(), {"alg": "HS512"})) == "algorithm_refused"
    assert await refusal(verifier, hmac_token(SECRET.encode(), role="service_role")) == "role_refused"
    assert host.hits == 0
    assert (await verifier.verify(signer.token())).user_id == USER


async def test_a_burst_of_one_token_is_proved_once(
    settings, counted: CountingKeys, clock: Clock, signer: Signer
):
    verifier = TokenVerifier(settings, keys=counted, clock=clock)
    token = signer.token()
    first = await verifier.verify(token)
    assert all([await verifier.verify(token) is first for _ in range(50)])
    assert counted.proofs == 1


async def test_a_verified_token_is_remembered_for_a_minute(
    settings, counted: CountingKeys, clock: Clock, signer: Signer
):
    verifier = TokenVerifier(settings, keys=counted, clock=clock)
    token = signer.token()
    await verifier.verify(token)
    clock.now = NOW + 59.9
    await verifier.verify(token)
    assert counted.proofs == 1
    clock.now = NOW + 60
    await verifier.verify(token)
    assert counted.proofs == 2


async def test_a_remembered_token_ends_with_its_exp(make_keys, clock: Clock, signer: Signer):
    verifier = TokenVerifier(AuthSettings(issuer=ISSUER, leeway=0), keys=make_keys(), clock=clock)
    token = signer.token(exp=NOW + 5)
    await verifier.verify(token)
    clock.now = NOW + 5
    assert await refusal(verifier, token) == "token_expired"


@pytest.mark.parametrize("exp", [NOW, NOW - 0.5])
async def test_a_token_ends_on_time_whatever_the_leeway(verifier: TokenVerifier, signer: Signer, exp: float):
    assert await refusal(verifier, signer.token(exp=exp)) == "token_expired"


async def test_a_clock_set_back_proves_again(settings, counted: CountingKeys, clock: Clock, signer: Signer):
    verifier = TokenVerifier(settings, keys=counted, clock=clock)
    token = signer.token(iat=NOW - 7200)
    await verifier.verify(token)
    clock.now = NOW - 3600
    await verifier.verify(token)
    assert counted.proofs == 2


async def test_only_so_many_tokens_are_remembered(
    settings, counted: CountingKeys, clock: Clock, signer: Signer
):
    verifier = TokenVerifier(settings, keys=counted, clock=clock, cache_size=3)
    tokens = [signer.token(n=n) for n in range(5)]
    for token in tokens:
        await verifier.verify(token)
    assert len(verifier._verified) == 3
    for token in tokens[2:]:
        await verifier.verify(token)
    assert counted.proofs == 5
    await verifier.verify(tokens[0])
    assert counted.proofs == 6


async def test_the_memory_holds_no_token(verifier: TokenVerifier, signer: Signer):
    token = signer.token()
    await verifier.verify(token)
    remembered = repr(verifier._verified._entries)
    assert "Verified" in remembered
    assert not any(part in remembered for part in token.split("."))


async def test_without_a_memory_every_token_is_proved(
    settings, counted: CountingKeys, clock: Clock, signer: Signer
):
    verifier = TokenVerifier(settings, keys=counted, clock=clock, cache_size=0)
    token = signer.token()
    await verifier.verify(token)
    await verifier.verify(token)
    assert counted.proofs == 2


async def test_a_memory_longer_than_a_minute_is_refused(settings, make_keys):
    with pytest.raises(ValueError, match="60"):
        TokenVerifier(settings, keys=make_keys(), cache_ttl=61)


async def test_a_remembered_token_dies_with_its_key(
    settings, make_keys, clock: Clock, host: KeyHost, signer: Signer
):
    keys = make_keys()
    verifier = TokenVerifier(settings, keys=keys, clock=clock)
    token = signer.token()
    await verifier.verify(token)
    host.publishes(jwks(Signer.es256("k2")))
    with pytest.raises(TokenError):
        await keys.find("k3")
    assert await refusal(verifier, token) == "key_unknown"
    assert len(verifier._verified) == 0


async def test_a_remembered_token_dies_when_another_key_takes_the_name(
    settings, make_keys, clock: Clock, host: KeyHost, signer: Signer
):
    keys = make_keys()
    verifier = TokenVerifier(settings, keys=keys, clock=clock)
    token = signer.token()
    await verifier.verify(token)
    host.publishes(jwks(Signer.es256("k1")))
    with pytest.raises(TokenError):
        await keys.find("k2")
    assert await refusal(verifier, token) == "signature_wrong"


async def test_a_set_fetched_again_keeps_what_is_remembered(
    settings, counted: CountingKeys, clock: Clock, host: KeyHost, signer: Signer
):
    verifier = TokenVerifier(settings, keys=counted, clock=clock)
    token = signer.token()
    await verifier.verify(token)
    with pytest.raises(TokenError):
        await counted.keys.find("k2")
    assert host.hits == 2
    await verifier.verify(token)
    assert counted.proofs == 1


async def test_a_revoked_session_is_refused_at_once_though_its_token_is_remembered(
    settings, make_keys, clock: Clock, signer: Signer
):
    revoked: set[str | None] = set()

    async def is_revoked(principal: Principal) -> bool:
        return principal.session_id in revoked

    verifier = TokenVerifier(settings, keys=make_keys(), clock=clock, revoked=is_revoked)
    token = signer.token()
    principal = await verifier.verify(token)
    revoked.add(principal.session_id)
    assert await refusal(verifier, token) == "token_revoked"


async def test_a_revocation_check_that_fails_admits_nobody(settings, make_keys, clock: Clock, signer: Signer):
    async def broken(_principal: Principal) -> bool:
        raise ConnectionError

    verifier = TokenVerifier(settings, keys=make_keys(), clock=clock, revoked=broken)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await verifier.verify(signer.token())


async def test_a_token_whose_key_cannot_be_had_is_neither_good_nor_bad(
    settings, make_keys, clock, host, signer
):
    host.behaviour = hang
    verifier = TokenVerifier(settings, keys=make_keys(timeout=0.05), clock=clock)
    with pytest.raises(KeysUnavailable) as unavailable:
        await verifier.verify(signer.token())
    assert unavailable.value.code == "keys_unavailable"
    assert unavailable.value.retry_after >= 1


async def test_the_wall_clock_is_the_default(settings, make_keys, signer: Signer):
    verifier = TokenVerifier(settings, keys=make_keys())
    assert await refusal(verifier, signer.token(exp=1, iat=0)) == "token_expired"
