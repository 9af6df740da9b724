"""While the host of the keys is at fault, known keys go on and unknown ones are refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from sba_supabase import AuthSettings, KeySet, KeysUnavailable, TokenVerifier
from sba_supabase.errors import KeyUnknown
from tests.unit.supabase.h2_server import H2Server, certificate
from tests.unit.supabase.issuer import ISSUER, USER, Clock, Signer, jwks
from tests.unit.supabase.key_host import KeyHost, answer, drip, hang

MakeKeys = Callable[..., KeySet]
EMPTY = (b'{"keys":[]}', b'{"keys":[{}, {"kid": "k1"}, 7]}')


def held(body: bytes, release: asyncio.Event) -> Callable[[asyncio.StreamWriter], object]:
    """Answer once released."""

    async def send(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await answer(body)(writer)

    return send


@pytest.mark.parametrize("stuck", [hang, drip], ids=["hung", "dripping"])
async def test_an_unknown_key_is_refused_while_its_host_is_still_stuck(
    stuck, host: KeyHost, make_keys: MakeKeys, clock: Clock, signer: Signer
):
    keys = make_keys(timeout=600, patience=0.05)
    verifier = TokenVerifier(AuthSettings(issuer=ISSUER), keys=keys, clock=clock, cache_size=0)
    await verifier.verify(signer.token())
    host.asked.clear()
    host.behaviour = stuck
    with pytest.raises(KeysUnavailable) as unavailable:
        await verifier.verify(Signer.es256("k2").token())
    assert unavailable.value.retry_after == 1
    assert keys._fetching is not None, "the fetch is still under way"
    assert (await verifier.verify(signer.token())).user_id == USER
    await asyncio.wait_for(host.asked.wait(), 20)
    assert host.hits == 2


async def test_a_service_that_starts_while_the_host_hangs_waits_for_it_once(
    host: KeyHost, make_keys: MakeKeys, clock: Clock, signer: Signer
):
    keys, release = make_keys(timeout=0.2, patience=0.05), asyncio.Event()
    host.behaviour = hang
    with pytest.raises(KeysUnavailable):
        await keys.find("k1")
    assert keys._fetching is None, "the first fetch was given all its time"
    keys._timeout, clock.now = 600, clock.now + 1
    host.behaviour = held(jwks(signer), release)
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            await keys.find("k1")
        assert keys._fetching is not None
    release.set()
    await asyncio.wait_for(keys._fetching, 20)
    assert (await keys.find("k1")).kid == "k1"
    assert host.hits == 2


async def test_an_answer_later_than_anybody_waited_is_not_lost(
    host: KeyHost, make_keys: MakeKeys, clock: Clock, signer: Signer
):
    keys, release = make_keys(timeout=600, patience=0.001), asyncio.Event()
    await keys.find("k1")
    host.behaviour = held(jwks(signer, Signer.es256("k2")), release)
    with pytest.raises(KeysUnavailable):
        await keys.find("k2")
    release.set()
    await asyncio.wait_for(keys._fetching, 20)
    assert (await keys.find("k2")).kid == "k2"
    assert host.hits == 2
    host.publishes(jwks(signer, Signer.es256("k3")))
    keys._patience = 20
    assert (await keys.find("k3")).kid == "k3", "a key that was found late is no flood either"


async def test_after_an_unknown_key_was_found_a_flood_is_still_a_flood(
    host: KeyHost, make_keys: MakeKeys, clock: Clock, signer: Signer
):
    keys = make_keys(patience=20)
    await keys.find("k1")
    host.publishes(jwks(signer, Signer.es256("k2")))
    await keys.find("k2")
    for n in range(100):
        with pytest.raises(KeyUnknown):
            await keys.find(f"unknown-{n}")
        if n % 10 == 0:
            clock.now += 2
    assert host.hits == 3


async def test_ten_thousand_unknown_keys_cause_one_fetch_a_cooldown_though_the_host_hangs(
    host: KeyHost, make_keys: MakeKeys, clock: Clock
):
    keys = make_keys(timeout=0.2, patience=0.05)
    known = await keys.find("k1")
    host.behaviour = hang

    async def ask(first: int) -> None:
        for n in range(first, first + 200):
            with pytest.raises(KeysUnavailable):
                await keys.find(f"unknown-{n}")
            assert keys.peek("k1") is known

    await asyncio.gather(*(ask(first) for first in range(0, 10_000, 200)))
    assert host.hits == 2
    clock.now += 30
    await ask(10_000)
    assert host.hits == 3


@pytest.mark.parametrize("body", EMPTY, ids=["no keys", "none of use"])
async def test_a_set_without_keys_is_a_fault_until_the_one_before_is_old(
    body: bytes, host: KeyHost, make_keys: MakeKeys, clock: Clock
):
    keys = make_keys()
    known = await keys.find("k1")
    host.publishes(body)
    for _ in range(19):
        clock.now += 30
        assert await keys.find("k1") is known
        with pytest.raises(KeysUnavailable):
            await keys.find("k2")
        assert keys._fetching is None
    clock.now += 60
    for kid in ("k1", "k2"):
        with pytest.raises(KeyUnknown):
            await keys.find(kid)


@pytest.mark.parametrize("body", EMPTY, ids=["no keys", "none of use"])
async def test_after_a_silence_a_set_without_keys_is_an_answer(
    body: bytes, host: KeyHost, make_keys: MakeKeys, clock: Clock
):
    keys = make_keys()
    await keys.find("k1")
    host.publishes(body)
    clock.now += 3000
    with pytest.raises(KeyUnknown):
        await keys.find("k1")


async def test_a_project_without_keys_has_none(host: KeyHost, make_keys: MakeKeys):
    host.publishes(b'{"keys":[]}')
    with pytest.raises(KeyUnknown):
        await make_keys().find("k1")


async def test_the_type_an_answer_calls_itself_does_not_matter(
    host: KeyHost, make_keys: MakeKeys, signer: Signer
):
    host.behaviour = answer(jwks(signer), headers="content-type: text/html; charset=utf-16\r\n")
    assert (await make_keys().find("k1")).kid == "k1"


async def test_a_redirect_is_not_followed(host: KeyHost, make_keys: MakeKeys, signer: Signer):
    async with KeyHost().running() as elsewhere:
        elsewhere.publishes(jwks(signer))
        for status in (
            "301 Moved Permanently",
            "302 Found",
            "307 Temporary Redirect",
            "308 Permanent Redirect",
        ):
            host.behaviour = answer(jwks(signer), status, f"location: {elsewhere.url}\r\n")
            with pytest.raises(KeysUnavailable):
                await make_keys().find("k1")
        assert elsewhere.hits == 0


async def unavailable(url: str, http: httpx.AsyncClient, clock: Clock) -> None:
    keys = KeySet(url, http=http, clock=clock)
    with pytest.raises(KeysUnavailable):
        await keys.find("k1")
    await keys.aclose()


async def test_a_name_that_is_nowhere_is_no_crash(http: httpx.AsyncClient, clock: Clock):
    await unavailable("https://keys.invalid/jwks.json", http, clock)
    await unavailable("https://" + "a" * 300 + ".invalid/jwks.json", http, clock)


async def test_a_certificate_that_nobody_signed_is_not_trusted(
    http: httpx.AsyncClient, clock: Clock, tmp_path: Path
):
    pem = certificate(tmp_path)
    async with H2Server().running(pem) as server:
        await unavailable(f"{server.url}/jwks.json", http, clock)
    assert server.connections == 0
