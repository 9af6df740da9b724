"""The issuer's key is changed under traffic: nobody is refused, and what the old key signed ends in time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sba_local.identity import Issuer
from sba_local.ports import free_port
from sba_local.standin import StandInServer
from sba_supabase import AuthSettings, KeySet, KeysUnavailable, TokenError, TokenVerifier

TTL, COOLDOWN, TIMEOUT = 600, 30, 2
LIFE = 3600
STEP = 30
REPLICAS = 3


class Clock:
    """One clock for the issuer and everybody who verifies."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Traffic:
    """Callers of some replicas with tokens new and old, as time goes by."""

    issuer: Issuer
    clock: Clock
    replicas: list[tuple[TokenVerifier, KeySet]]
    tokens: list[tuple[float, str]] = field(default_factory=list)
    served: int = 0
    refused: list[str] = field(default_factory=list)

    def token(self, ttl: float = LIFE) -> str:
        return self.issuer.mint(user_id=uuid.uuid4(), tenant_id=None, ttl=ttl)

    async def flow(self, seconds: float) -> None:
        """That much time, with a sign-in and a call of everybody in every step."""
        for _ in range(int(seconds / STEP)):
            self.clock.now += STEP
            self.tokens.append((self.clock.now + LIFE, self.token()))
            self.tokens = [(end, token) for end, token in self.tokens if end > self.clock.now]
            calls = [(token, verifier) for _, token in self.tokens[::7] for verifier, _ in self.replicas]
            calls += [(self.tokens[-1][1], verifier) for verifier, _ in self.replicas]
            await asyncio.gather(*(self.call(*call) for call in calls))
            await self.settle()

    async def call(self, token: str, verifier: TokenVerifier) -> None:
        try:
            await verifier.verify(token)
        except (TokenError, KeysUnavailable) as error:
            self.refused.append(f"{type(error).__name__} at {self.clock.now}")
        self.served += 1

    async def settle(self) -> None:
        """Renewals take no time on this clock."""
        under_way = [keys._fetching for _, keys in self.replicas if keys._fetching is not None]
        if under_way:
            await asyncio.wait(under_way, timeout=20)

    async def admitted(self, token: str) -> bool:
        """Whether any replica takes it."""
        answers = await asyncio.gather(
            *(verifier.verify(token) for verifier, _ in self.replicas), return_exceptions=True
        )
        assert all(isinstance(answer, TokenError) for answer in answers if isinstance(answer, Exception))
        return not all(isinstance(answer, Exception) for answer in answers)


@pytest.fixture
async def traffic() -> AsyncIterator[Traffic]:
    clock, port = Clock(), free_port()
    key = await asyncio.to_thread(ec.generate_private_key, ec.SECP256R1())
    issuer = Issuer(key, f"http://127.0.0.1:{port}", clock=clock)
    settings = AuthSettings(issuer=issuer.issuer)
    async with StandInServer(issuer, port=port), httpx.AsyncClient() as http:
        bounds = {"ttl": TTL, "cooldown": COOLDOWN, "timeout": TIMEOUT, "patience": 20}
        sets = [KeySet(settings.jwks_url, http=http, clock=clock, **bounds) for _ in range(REPLICAS)]
        yield Traffic(
            issuer, clock, [(TokenVerifier(settings, keys=keys, clock=clock), keys) for keys in sets]
        )
        for keys in sets:
            await keys.aclose()


async def test_a_key_published_one_refresh_ahead_is_changed_without_a_refusal(traffic: Traffic):
    await traffic.flow(900)
    traffic.issuer.announce()
    await traffic.flow(TTL)
    second = traffic.issuer.rotate()
    assert all(keys.peek(second) is not None for _, keys in traffic.replicas), "nobody has to ask for it"
    await traffic.flow(LIFE)
    traffic.issuer.retire()
    await traffic.flow(2 * TTL)
    assert traffic.refused == []
    assert traffic.served > 5_000


async def test_a_key_changed_without_notice_is_asked_for_by_the_first_who_brings_it(traffic: Traffic):
    await traffic.flow(900)
    traffic.issuer.announce()
    traffic.issuer.rotate()
    await traffic.flow(900)
    assert traffic.refused == []


async def test_what_a_retired_key_signed_is_refused_within_the_bound(traffic: Traffic):
    await traffic.flow(300)
    stolen = traffic.token(ttl=10 * LIFE)
    assert await traffic.admitted(stolen)
    traffic.issuer.announce()
    traffic.issuer.rotate()
    traffic.issuer.retire()
    traffic.tokens.clear()
    retired = traffic.clock.now
    while await traffic.admitted(stolen):
        await traffic.flow(STEP)
        assert traffic.clock.now - retired <= TTL + 2 * COOLDOWN + TIMEOUT
    await traffic.flow(LIFE)
    assert not await traffic.admitted(stolen)
    assert traffic.refused == []


async def test_what_a_retired_key_signed_is_refused_after_a_silence_too(traffic: Traffic):
    stolen = traffic.token(ttl=10 * LIFE)
    assert await traffic.admitted(stolen)
    traffic.issuer.announce()
    traffic.issuer.rotate()
    traffic.issuer.retire()
    traffic.clock.now += TTL + 2 * COOLDOWN + TIMEOUT
    assert not await traffic.admitted(stolen)
