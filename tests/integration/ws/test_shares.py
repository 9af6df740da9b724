"""What one user and one tenant may send, on all nodes together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from tests.fixtures.databases import Tenant
from tests.integration.resilience.faults import Server
from tests.integration.ws.conftest import BRISK
from tests.integration.ws.harness import Station, Watcher

Tenants = tuple[Tenant, Tenant]
QUESTION = {"run_id": str(uuid4())}
BLOCKS = replace(BRISK, events_block=2)


async def asked(*watchers: Watcher, times: int) -> list[dict[str, Any]]:
    """The answers to so many events, sent in turn."""
    return [await watchers[n % len(watchers)].call("run:unsubscribe", QUESTION) for n in range(times)]


@pytest.mark.parametrize("name", ["USER", "TENANT"])
async def test_events_are_counted_together_on_all_nodes(
    make_station: Callable[..., Any], tenants: Tenants, name: str
) -> None:
    a, b = tenants
    bound = {f"SBA_WS_EVENTS_PER_{name}": "6"}
    one: Station = await make_station(limits=BLOCKS, **bound)
    other: Station = await make_station(limits=BLOCKS, **bound)
    watchers = [await one.watch(a), await other.watch(a)]
    answers = await asked(*watchers, times=14)
    assert 4 <= sum(answer["ok"] for answer in answers) <= 7
    error = answers[-1]["error"]
    assert error["code"] == "rate_limited"
    assert 0 < error["retry_after"] <= 60
    assert all(watcher.disconnects == [] for watcher in watchers)
    assert (await asked(await other.watch(b), times=1))[0]["ok"]


async def test_an_event_that_is_dropped_was_never_heard(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    a, _ = tenants
    station: Station = await make_station(limits=BLOCKS, SBA_WS_EVENTS_PER_USER="1")
    run = await station.run(a)
    watcher = await station.watch(a)
    assert (await asked(watcher, times=1))[0]["ok"]
    assert (await watcher.subscribe(run))["error"]["code"] == "rate_limited"
    await watcher.client.emit("run:subscribe", {"run_id": str(run)})
    assert (await watcher.subscribe(run))["error"]["code"] == "rate_limited"
    assert watcher.events == []


async def test_connecting_and_staying_connected_costs_no_event(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    a, _ = tenants
    station: Station = await make_station(limits=BLOCKS, SBA_WS_EVENTS_PER_USER="3")
    watchers = [await station.watch(a) for _ in range(5)]
    assert sum(answer["ok"] for answer in await asked(*watchers, times=5)) == 3


async def test_events_are_heard_while_redis_is_away(
    make_station: Callable[..., Any], tenants: Tenants, tmp_path: Any
) -> None:
    a, _ = tenants
    server = Server(tmp_path / "valkey-of-its-own")
    server.start()
    station: Station = await make_station(
        limits=BLOCKS, REDIS_URL=server.url, SBA_WS_EVENTS_PER_USER="6", SBA_RATE_LIMIT_NODES="2"
    )
    watcher = await station.watch(a)
    assert (await asked(watcher, times=1))[0]["ok"]
    server.kill()
    answers = await asked(watcher, times=9)
    assert 1 <= sum(answer["ok"] for answer in answers) <= 4
    assert answers[-1]["error"]["code"] in {"rate_limited", "unavailable"}
