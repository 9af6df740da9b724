"""A stock client gets a run's events once each and in order, whatever happens around it."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from sba_agents import events
from sba_agents.events import encode, stream_key
from tests.fixtures.databases import Tenant
from tests.integration.ws.harness import Station, until

Tenants = tuple[Tenant, Tenant]


async def test_a_client_that_was_there_first_sees_every_event_in_order(
    station: Station, tenants: Tenants
) -> None:
    a, _ = tenants
    run = await station.run(a)
    watcher = await station.watch(a)
    answer = await watcher.subscribe(run)
    assert answer == {"ok": True, "run_id": str(run), "seq": 1}
    for number in range(2, 30):
        await station.append(a, run, data={"n": number})
    await until(lambda: len(watcher.events) == 29)
    assert watcher.seqs() == list(range(1, 30))
    first, second = watcher.events[:2]
    assert set(first) == {"run_id", "seq", "type", "data", "at"}
    assert first["type"] == "run.queued"
    assert (second["run_id"], second["type"], second["data"]) == (str(run), "step.finished", {"n": 2})


async def test_a_late_client_sees_the_past_and_then_the_present(station: Station, tenants: Tenants) -> None:
    a, _ = tenants
    run = await station.run(a, events=450)
    watcher = await station.watch(a)
    appending = asyncio.create_task(_append(station, a, run, 20))
    assert (await watcher.subscribe(run))["ok"]
    await appending
    await until(lambda: len(watcher.events) >= 470)
    assert watcher.seqs() == list(range(1, 471))


async def test_a_client_that_comes_back_with_after_sees_only_what_it_missed(
    station: Station, tenants: Tenants
) -> None:
    a, _ = tenants
    run = await station.run(a, events=5)
    first = await station.watch(a)
    await first.subscribe(run)
    await until(lambda: len(first.events) == 5)
    await first.close()
    await _append(station, a, run, 3)
    second = await station.watch(a)
    await second.subscribe(run, after=5)
    await station.append(a, run)
    await until(lambda: len(second.events) >= 4)
    assert second.seqs() == [6, 7, 8, 9]


async def test_subscribing_twice_delivers_once(station: Station, tenants: Tenants) -> None:
    a, _ = tenants
    run = await station.run(a, events=3)
    watcher = await station.watch(a)
    answers = await asyncio.gather(watcher.subscribe(run), watcher.subscribe(run, after=0))
    assert all(answer["ok"] for answer in answers)
    await _append(station, a, run, 3)
    await until(lambda: len(watcher.events) >= 6)
    assert (await watcher.subscribe(run))["seq"] == 6
    await station.append(a, run)
    await until(lambda: len(watcher.events) >= 7)
    assert watcher.seqs() == list(range(1, 8))


async def test_an_unsubscribed_client_hears_nothing_more_and_may_start_again(
    station: Station, tenants: Tenants
) -> None:
    a, _ = tenants
    run, other = await station.run(a), await station.run(a)
    watcher = await station.watch(a)
    await watcher.subscribe(run)
    await until(lambda: watcher.seqs(run) == [1])
    assert await watcher.call("run:unsubscribe", {"run_id": str(run)}) == {"ok": True, "run_id": str(run)}
    await station.append(a, run)
    await watcher.subscribe(other)
    await until(lambda: watcher.seqs(other) == [1])
    assert watcher.seqs(run) == [1]
    await watcher.subscribe(run, after=1)
    await until(lambda: watcher.seqs(run) == [1, 2])
    await watcher.call("run:unsubscribe", {"run_id": str(run)})


async def test_events_that_redis_never_carried_arrive_from_the_table(
    station: Station, tenants: Tenants
) -> None:
    a, _ = tenants
    run = await station.run(a)
    watcher = await station.watch(a)
    await watcher.subscribe(run)
    await until(lambda: watcher.seqs() == [1])
    await station.append(a, run, carried=False)
    await until(lambda: watcher.seqs() == [1, 2])
    await station.append(a, run, carried=False)
    await station.append(a, run)
    await station.append(a, run, kind="run.succeeded", carried=False)
    await until(lambda: watcher.seqs() == [1, 2, 3, 4, 5])


async def test_a_finished_run_is_replayed_and_not_polled(station: Station, tenants: Tenants) -> None:
    a, _ = tenants
    run = await station.run(a, events=4)
    await station.append(a, run, kind="run.succeeded", carried=False)
    watcher = await station.watch(a)
    await watcher.subscribe(run)
    await until(lambda: watcher.seqs() == [1, 2, 3, 4, 5])


async def test_events_that_are_carried_twice_or_out_of_order_are_delivered_once(
    station: Station, tenants: Tenants
) -> None:
    a, _ = tenants
    run = await station.run(a)
    watcher = await station.watch(a)
    await watcher.subscribe(run)
    await until(lambda: watcher.seqs() == [1])
    made = [await station.append(a, run, carried=False) for _ in range(3)]
    await events.publish(station.redis, [made[2], made[0], made[0], made[1], made[2]])
    await until(lambda: len(watcher.events) >= 4)
    await station.append(a, run)
    await until(lambda: len(watcher.events) >= 5)
    assert watcher.seqs() == [1, 2, 3, 4, 5]


async def test_nonsense_in_the_stream_harms_nobody(station: Station, tenants: Tenants) -> None:
    a, b = tenants
    run = await station.run(a)
    watcher = await station.watch(a)
    await watcher.subscribe(run)
    await until(lambda: watcher.seqs() == [1])
    stray = await station.append(b, await station.run(b), carried=False)
    for payload in (b"{", b"[]", b"[" * 5000, encode(stray)):
        await station.redis.execute("XADD", stream_key(a.id), "*", "e", payload)
    await station.redis.execute("XADD", stream_key(a.id), "*", "other", "field")
    await station.append(a, run)
    await until(lambda: watcher.seqs() == [1, 2])


async def test_two_runs_on_one_socket_and_two_sockets_on_one_run(station: Station, tenants: Tenants) -> None:
    a, b = tenants
    runs = [await station.run(a), await station.run(a)]
    foreign = await station.run(b)
    one, two, three = [await station.watch(tenant) for tenant in (a, a, b)]
    for watcher, followed in ((one, runs), (two, runs[:1]), (three, [foreign])):
        for run in followed:
            assert (await watcher.subscribe(run))["ok"]
    for _ in range(5):
        for tenant, run in ((a, runs[0]), (a, runs[1]), (b, foreign)):
            await station.append(tenant, run)
    await until(lambda: len(one.events) == 12 and len(two.events) == 6 and len(three.events) == 6)
    assert one.seqs(runs[0]) == one.seqs(runs[1]) == two.seqs(runs[0]) == three.seqs(foreign)
    assert {event["run_id"] for event in three.events} == {str(foreign)}


async def test_a_hole_in_the_table_is_told_as_a_gap(
    station: Station, tenants: Tenants, database_urls: Any
) -> None:
    a, _ = tenants
    run = await station.run(a, events=6)
    async with await psycopg.AsyncConnection.connect(database_urls.admin, autocommit=True) as admin:
        await admin.execute("delete from service.run_events where run_id = %s and seq in (1, 2, 4)", (run,))
    watcher = await station.watch(a)
    await watcher.subscribe(run)
    await until(lambda: watcher.seqs() == [3, 5, 6])
    assert watcher.gaps == [
        {"run_id": str(run), "from": 1, "to": 2},
        {"run_id": str(run), "from": 4, "to": 4},
    ]


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], None])
async def test_every_transport_carries_a_long_replay(
    station: Station, tenants: Tenants, transports: list[str] | None
) -> None:
    a, _ = tenants
    run = await station.run(a, events=120)
    watcher = await station.watch(a, transports=transports)
    await watcher.subscribe(run)
    await station.append(a, run)
    await until(lambda: len(watcher.events) >= 121)
    assert watcher.seqs() == list(range(1, 122))
    assert watcher.client.transport() == ("polling" if transports == ["polling"] else "websocket")


async def _append(station: Station, tenant: Tenant, run: Any, count: int) -> None:
    for _ in range(count):
        await station.append(tenant, run)
