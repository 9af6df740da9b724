"""The key set, against a real HTTP server that may be slow, dead, lying or flooded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from sba_supabase import KeySet, KeysUnavailable, TokenError
from sba_supabase.errors import KeyUnknown
from tests.unit.supabase.issuer import Clock, Signer, jwks, packed
from tests.unit.supabase.key_host import Behaviour, KeyHost, answer, cut, drip, flood, garbage, hang, reset

MakeKeys = Callable[..., KeySet]
OTHER = Signer.es256("k2")
DOCUMENT = jwks(Signer.es256("k1"))
FAULTS: dict[str, Behaviour] = {
    "hung": hang,
    "dripping": drip,
    "endless": flood,
    "no HTTP": garbage,
    "cut off": cut,
    "reset": reset,
    "500": answer(DOCUMENT, "500 Internal Server Error"),
    "404": answer(DOCUMENT, "404 Not Found"),
    "redirected": answer(b"", "302 Found", "location: http://127.0.0.1:9/keys\r\n"),
    "compressed": answer(DOCUMENT, headers="content-encoding: gzip\r\n"),
    "empty": answer(b""),
    "no JSON": answer(b"<html>503</html>"),
    "a list": answer(b"[]"),
    "no keys": answer(b"{}"),
    "keys are no list": answer(b'{"keys":{}}'),
    "keys twice": answer(b'{"keys":[],"keys":[]}'),
    "65 keys": answer(packed({"keys": [{}] * 65})),
    "deep": answer(b'{"keys":' + b"[" * 60_000),
    "too large": answer(b" " * 65_537),
}


async def landed(keys: KeySet) -> None:
    """Wait for the fetch under way."""
    while keys._fetching is not None:
        await asyncio.wait((keys._fetching,), timeout=5)


async def test_a_key_is_fetched_once_and_served_from_memory(host: KeyHost, make_keys: MakeKeys):
    keys = make_keys()
    first = await keys.find("k1")
    assert all([await keys.find("k1") is first for _ in range(100)])
    assert (first.kid, first.algorithm, host.hits) == ("k1", "ES256", 1)
    assert keys.peek("k1") is first
    assert keys.peek("k2") is None


async def test_the_request_asks_for_plain_json(host: KeyHost, make_keys: MakeKeys):
    await make_keys().find("k1")
    head = host.requests[0].lower()
    assert b"accept-encoding: identity" in head
    assert b"authorization" not in head


async def test_concurrent_callers_share_one_fetch(host: KeyHost, make_keys: MakeKeys):
    keys = make_keys()
    found = await asyncio.gather(*(keys.find("k1") for _ in range(200)))
    assert len({id(key) for key in found}) == 1
    assert host.hits == 1


async def test_a_cancelled_caller_takes_nobody_along(host: KeyHost, make_keys: MakeKeys):
    release = asyncio.Event()

    async def when_released(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await answer(DOCUMENT)(writer)

    host.behaviour = when_released
    keys = make_keys(timeout=20)
    impatient, patient = (asyncio.create_task(keys.find("k1")) for _ in range(2))
    await asyncio.wait_for(host.asked.wait(), 5)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    release.set()
    assert (await patient).kid == "k1"
    assert host.hits == 1


async def test_a_thousand_unknown_keys_cause_one_fetch_a_cooldown(
    host: KeyHost, make_keys: MakeKeys, clock: Clock
):
    keys = make_keys()
    for round_ in range(3):
        for n in range(1000):
            with pytest.raises(KeyUnknown):
                await keys.find(f"unknown-{n}")
        assert host.hits == round_ + 1
        clock.now += 30


async def test_a_thousand_unknown_keys_at_once_cause_one_fetch(host: KeyHost, make_keys: MakeKeys):
    keys = make_keys()
    answers = await asyncio.gather(*(keys.find(f"unknown-{n}") for n in range(1000)), return_exceptions=True)
    assert {type(answer_) for answer_ in answers} == {KeyUnknown}
    assert host.hits == 1


async def test_a_flood_of_unknown_keys_does_not_touch_a_known_one(host: KeyHost, make_keys: MakeKeys):
    keys = make_keys()
    known = await keys.find("k1")
    host.behaviour = hang
    flooding = [asyncio.create_task(keys.find(f"unknown-{n}")) for n in range(100)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(keys.find("k1"), 1) is known
    for task in flooding:
        task.cancel()
    await asyncio.gather(*flooding, return_exceptions=True)


async def test_a_rotated_key_is_found_at_once(host: KeyHost, make_keys: MakeKeys, signer: Signer):
    keys = make_keys()
    old = await keys.find("k1")
    host.publishes(jwks(signer, OTHER))
    assert (await keys.find("k2")).kid == "k2"
    assert await keys.find("k1") is old
    third = Signer.es256("k3")
    host.publishes(jwks(signer, OTHER, third))
    assert (await keys.find("k3")).kid == "k3"
    assert host.hits == 3


async def test_a_renewal_happens_behind_the_callers(
    host: KeyHost, make_keys: MakeKeys, clock: Clock, signer: Signer
):
    keys = make_keys()
    known = await keys.find("k1")
    host.publishes(jwks(signer, OTHER))
    clock.now += 481
    assert keys.peek("k1") is known
    await landed(keys)
    assert host.hits == 2
    assert keys.peek("k1") is known
    assert keys.peek("k2") is not None


async def test_a_removed_key_dies_with_the_next_renewal(host: KeyHost, make_keys: MakeKeys, clock: Clock):
    keys = make_keys()
    await keys.find("k1")
    host.publishes(jwks(OTHER))
    clock.now += 481
    await keys.find("k1")
    await landed(keys)
    with pytest.raises(KeyUnknown):
        await keys.find("k1")


async def test_after_a_long_silence_nobody_is_let_in_on_an_old_set(
    host: KeyHost, make_keys: MakeKeys, clock: Clock
):
    keys = make_keys()
    await keys.find("k1")
    host.publishes(jwks(OTHER))
    clock.now += 3000
    answers = await asyncio.gather(*(keys.find("k1") for _ in range(10)), return_exceptions=True)
    assert {type(answer_) for answer_ in answers} == {KeyUnknown}
    assert host.hits == 2


async def test_a_removed_key_is_gone_within_the_bound_whatever_the_traffic(
    host: KeyHost, make_keys, clock: Clock
):
    for step in (1, 7, 29, 31, 100, 479, 601, 1300):
        host.publishes(DOCUMENT)
        keys = make_keys()
        await keys.find("k1")
        host.publishes(jwks(OTHER))
        removed = clock.now
        host.behaviour, honest = answer(b"", "500 Oops"), host.behaviour
        while clock.now - removed < 700:
            clock.now += step
            if clock.now - removed > 520:
                host.behaviour = honest
            await asyncio.gather(keys.find("k1"), return_exceptions=True)
            await landed(keys)
        with pytest.raises((KeyUnknown, KeysUnavailable)):
            await keys.find("k1")


@pytest.mark.parametrize("fault", FAULTS)
async def test_known_keys_keep_working_while_the_host_is_at_fault(
    fault: str, host: KeyHost, make_keys: MakeKeys, clock: Clock
):
    keys = make_keys()
    known = await keys.find("k1")
    host.behaviour, keys._timeout = FAULTS[fault], 0.05
    for _ in range(35):
        clock.now += 100
        assert await keys.find("k1") is known
        await landed(keys)
    assert host.hits > 25
    clock.now += 101
    with pytest.raises(KeysUnavailable):
        await keys.find("k1")


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_trusted_before_the_first_good_answer(
    fault: str, host: KeyHost, make_keys: MakeKeys
):
    host.behaviour = FAULTS[fault]
    keys = make_keys(timeout=0.5)
    with pytest.raises(KeysUnavailable) as unavailable:
        await keys.find("k1")
    assert unavailable.value.retry_after >= 1
    assert host.hits == 1


async def test_a_dead_host_is_no_different(http: httpx.AsyncClient, clock: Clock, host: KeyHost):
    async with KeyHost().running() as gone:
        url = gone.url
    keys = KeySet(url, http=http, clock=clock)
    with pytest.raises(KeysUnavailable):
        await keys.find("k1")


async def test_a_closed_client_is_no_crash(host: KeyHost, clock: Clock):
    http = httpx.AsyncClient()
    await http.aclose()
    with pytest.raises(KeysUnavailable):
        await KeySet(host.url, http=http, clock=clock).find("k1")


async def test_unknown_keys_fail_quickly_while_the_host_hangs(
    host: KeyHost, make_keys: MakeKeys, clock: Clock
):
    keys = make_keys()
    await keys.find("k1")
    host.behaviour, keys._timeout = hang, 0.2
    for _ in range(500):
        with pytest.raises(KeysUnavailable) as unavailable:
            await keys.find("k2")
        assert 1 <= unavailable.value.retry_after <= 30
    assert host.hits == 2


async def test_known_callers_do_not_wait_for_a_host_that_hangs(
    host: KeyHost, make_keys: MakeKeys, clock: Clock
):
    keys = make_keys(timeout=20)
    known = await keys.find("k1")
    host.behaviour = hang
    host.asked.clear()
    clock.now += 590
    assert keys.peek("k1") is known
    await asyncio.wait_for(host.asked.wait(), 5)
    clock.now += 20
    assert await asyncio.wait_for(keys.find("k1"), 5) is known
    assert host.hits == 2


async def test_a_cold_start_is_retried_with_growing_pauses(host: KeyHost, make_keys: MakeKeys, clock: Clock):
    host.behaviour = answer(b"", "503 Starting")
    keys = make_keys()
    start, asked = clock.now, []
    for _ in range(400):
        before = host.hits
        with pytest.raises(KeysUnavailable):
            await keys.find("k1")
        if host.hits > before:
            asked.append(clock.now - start)
        clock.now += 0.5
    assert asked == [0, 1, 3, 7, 15, 31, 61, 91, 121, 151, 181]
    host.publishes(DOCUMENT)
    clock.now += 30
    assert (await keys.find("k1")).kid == "k1"


async def test_a_recovered_host_is_believed_again(host: KeyHost, make_keys: MakeKeys, clock: Clock):
    keys = make_keys()
    host.behaviour, honest = answer(b"", "500 Oops"), host.behaviour
    with pytest.raises(KeysUnavailable):
        await keys.find("k1")
    host.behaviour = honest
    clock.now += 1
    assert (await keys.find("k1")).kid == "k1"
    with pytest.raises(KeyUnknown):
        await keys.find("k2")


async def test_closing_gives_up_the_fetch_under_way(host: KeyHost, make_keys: MakeKeys):
    host.behaviour = hang
    keys = make_keys(timeout=60)
    waiting = asyncio.create_task(keys.find("k1"))
    await asyncio.wait_for(host.asked.wait(), 5)
    await keys.aclose()
    with pytest.raises(KeysUnavailable):
        await asyncio.wait_for(waiting, 5)
    await keys.aclose()


async def test_a_late_answer_counts_from_when_it_was_asked_for(
    host: KeyHost, make_keys: MakeKeys, clock: Clock
):
    async def slowly(writer: asyncio.StreamWriter) -> None:
        clock.now += 100
        await answer(DOCUMENT)(writer)

    host.behaviour = slowly
    keys = make_keys(max_stale=600, ttl=600)
    await keys.find("k1")
    clock.now += 501
    host.behaviour = answer(b"", "500 Oops")
    with pytest.raises(KeysUnavailable):
        await keys.find("k1")


async def test_errors_say_no_more_than_they_must(host: KeyHost, make_keys: MakeKeys):
    host.behaviour = answer(b"secret-body", "500 Oops")
    with pytest.raises(KeysUnavailable) as unavailable:
        await make_keys().find("kid-of-the-caller")
    assert "secret-body" not in str(unavailable.value)
    assert host.url not in str(unavailable.value)
    assert not isinstance(unavailable.value, TokenError)
