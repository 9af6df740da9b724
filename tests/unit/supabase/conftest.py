"""An issuer, its key host and a verifier that trusts it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from sba_supabase import AuthSettings, KeySet, TokenVerifier
from tests.unit.supabase.issuer import ISSUER, Clock, Signer, jwks
from tests.unit.supabase.key_host import KeyHost


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer.es256()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
async def host(signer: Signer) -> AsyncIterator[KeyHost]:
    async with KeyHost().running() as running:
        running.publishes(jwks(signer))
        yield running


@pytest.fixture
async def make_keys(
    host: KeyHost, http: httpx.AsyncClient, clock: Clock
) -> AsyncIterator[Callable[..., KeySet]]:
    made: list[KeySet] = []

    def make(**options: float) -> KeySet:
        bounds = {"patience": 20.0, **options}  # a busy machine is not what most tests are about
        made.append(KeySet(host.url, http=http, clock=clock, **bounds))
        return made[-1]

    yield make
    for keys in made:
        await keys.aclose()


@pytest.fixture
def settings() -> AuthSettings:
    return AuthSettings(issuer=ISSUER)


@pytest.fixture
def verifier(settings: AuthSettings, make_keys: Callable[..., KeySet], clock: Clock) -> TokenVerifier:
    return TokenVerifier(settings, keys=make_keys(), clock=clock)
