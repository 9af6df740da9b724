"""Redis and Postgres come and go; a follower's events do not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sba_agents import events
from sba_local.ports import free_port
from sba_local.valkey import EmbeddedValkey
from sba_resilience.redis import RedisSettings, open_redis
from tests.fixtures.databases import Tenant
from tests.integration.ws.harness import Proxy, Station, until

Tenants = tuple[Tenant, Tenant]


async def test_valkey_killed_and_restarted_in_mid_stream_loses_nothing(
    make_station: Callable[..., Any], tenants: Tenants, tmp_path: Path
) -> None:
    a, _ = tenants
    port = free_port()
    first = EmbeddedValkey(tmp_path / "valkey", port=port, password="one-word")
    first.start()
    station: Station = await make_station(REDIS_URL=first.url)
    run = await station.run(a)
    watcher = await station.watch(a)
    await watcher.subscribe(run)
    async with open_redis(RedisSettings(url=first.url, command_timeout=0.5)) as redis:
        await _append(station, a, run, 5, redis)
        await until(lambda: len(watcher.events) == 6)
        os.kill(first.pid, signal.SIGKILL)
        await _append(station, a, run, 5, redis)
        late = await station.watch(a)
        assert (await late.subscribe(run))["ok"]
        await until(lambda: len(watcher.events) == len(late.events) == 11)
        first.stop()
        with EmbeddedValkey(tmp_path / "again", port=port, password="one-word"):
            await _append(station, a, run, 5, redis)
            await until(lambda: len(watcher.events) == len(late.events) == 16)
            await until(lambda: redis.state == "closed")
            await _append(station, a, run, 5, redis)
            await until(lambda: len(watcher.events) == len(late.events) == 21)
    assert watcher.seqs() == late.seqs() == list(range(1, 22))


async def test_a_wiped_redis_loses_nothing(station: Station, tenants: Tenants) -> None:
    a, _ = tenants
    run = await station.run(a)
    watcher = await station.watch(a)
    await watcher.subscribe(run)
    await _append(station, a, run, 3, station.redis)
    await station.redis.execute("FLUSHALL")
    await _append(station, a, run, 3, station.redis)
    await station.redis.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await _append(station, a, run, 3, station.redis)
    await until(lambda: len(watcher.events) >= 10)
    assert watcher.seqs() == list(range(1, 11))


async def test_without_redis_a_node_starts_admits_and_delivers(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    a, _ = tenants
    station: Station = await make_station(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    run = await station.run(a)
    watcher = await station.watch(a)
    assert (await watcher.subscribe(run))["ok"]
    await station.append(a, run)
    await until(lambda: watcher.seqs() == [1, 2])
    async with httpx.AsyncClient(base_url=station.url) as http:
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["missing"] == ["redis"]


@pytest.fixture
async def database_proxy(database_urls: Any) -> Any:
    proxy = Proxy("127.0.0.1", urlsplit(database_urls.app).port or 5432)
    await proxy.start()
    yield proxy
    await proxy.cut()


async def test_postgres_gone_for_a_moment_delays_events_and_loses_none(
    make_station: Callable[..., Any], tenants: Tenants, database_urls: Any, database_proxy: Proxy
) -> None:
    a, _ = tenants
    direct = urlsplit(database_urls.app).port
    station: Station = await make_station(
        SBA_DATABASE_URL=database_urls.app.replace(f":{direct}/", f":{database_proxy.port}/")
    )
    run = await station.run(a)
    watcher = await station.watch(a)
    await watcher.subscribe(run)
    await until(lambda: watcher.seqs() == [1])
    await database_proxy.cut()
    await station.append(a, run, carried=False)
    await station.append(a, run)
    other = await station.run(a)
    refusal = (await watcher.subscribe(other))["error"]
    assert (refusal["code"], refusal["retry_after"] >= 1) == ("unavailable", True)
    async with httpx.AsyncClient(base_url=station.url) as http:
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["missing"]) == (503, ["postgres"])
    assert watcher.seqs() == [1]
    await database_proxy.start()
    await until(lambda: watcher.seqs() == [1, 2, 3])
    assert (await watcher.subscribe(other))["ok"]
    await until(lambda: watcher.seqs(other) == [1])


async def test_a_node_starts_while_postgres_is_away(
    make_station: Callable[..., Any], tenants: Tenants, database_urls: Any, database_proxy: Proxy
) -> None:
    a, _ = tenants
    direct = urlsplit(database_urls.app).port
    await database_proxy.cut()
    station: Station = await make_station(
        SBA_DATABASE_URL=database_urls.app.replace(f":{direct}/", f":{database_proxy.port}/")
    )
    await database_proxy.start()
    async with httpx.AsyncClient(base_url=station.url) as http:
        while (await http.get("/readyz")).status_code != 200:
            pass
    run = await station.run(a)
    watcher = await station.watch(a)
    assert (await watcher.subscribe(run))["ok"]


async def _append(station: Station, tenant: Tenant, run: Any, count: int, redis: Any) -> None:
    for _ in range(count):
        await events.publish(redis, [await station.append(tenant, run, carried=False)])
