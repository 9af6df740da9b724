"""A node that stops asks its clients to come back, and the command line says what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from sba_local.ports import free_port
from sba_ws.cli import main
from tests.fixtures.databases import Tenant
from tests.integration.ws.harness import Station, until

Tenants = tuple[Tenant, Tenant]


async def test_a_drained_client_is_told_and_comes_back_elsewhere_without_a_hole(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    a, _ = tenants
    port = free_port()
    station: Station = await make_station(SBA_WS_PORT=str(port))
    run = await station.run(a, events=3)
    watcher = station.watcher(reconnection=True, reconnection_delay=0.1, reconnection_delay_max=0.2)
    idle = await station.watch(a, transports=["polling"])
    connected: list[int] = []

    async def follow() -> None:
        connected.append(1)
        after = watcher.events[-1]["seq"] if watcher.events else 0
        await watcher.client.emit("run:subscribe", {"run_id": str(run), "after": after})

    watcher.client.on("connect", follow)
    await watcher.connect(station.url, station.token(a))
    await until(lambda: watcher.seqs() == [1, 2, 3])
    await station.stop()
    for told in (watcher, idle):
        name, data = told.said[0]
        assert name == "drain"
        assert 0 <= data["reconnect_after_ms"] <= station.limits.drain_spread * 1000
    await station.append(a, run)
    again: Station = await make_station(SBA_WS_PORT=str(port))
    await until(lambda: watcher.seqs() == [1, 2, 3, 4])
    await again.append(a, run)
    await until(lambda: watcher.seqs() == [1, 2, 3, 4, 5])
    assert len(connected) == 2


async def test_a_poll_that_is_under_way_is_answered_when_its_client_leaves(
    station: Station, tenants: Tenants
) -> None:
    watcher = await station.watch(tenants[0], transports=["polling"])
    async with asyncio.timeout(10):
        await watcher.close()


async def test_a_draining_node_lets_nobody_in_and_says_it_is_not_ready(
    station: Station, tenants: Tenants
) -> None:
    watcher = await station.watch(tenants[0])
    draining = asyncio.create_task(station.node.drain())
    await until(lambda: watcher.said)
    async with httpx.AsyncClient(base_url=station.url) as http:
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert (await http.get("/socket.io/?EIO=4&transport=polling")).status_code == 503
    await draining
    await until(lambda: watcher.disconnects)


async def test_health_readiness_and_metrics_are_served(station: Station, tenants: Tenants) -> None:
    await station.watch(tenants[0])
    async with httpx.AsyncClient(base_url=station.url) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        assert ready.json() == {
            "status": "ready",
            "missing": [],
            "dependencies": {name: {"status": "ok"} for name in ("postgres", "redis", "jwks")},
        }
        metrics = await http.get("/metrics")
        assert "sba_ws_connects" in metrics.text
        assert str(tenants[0].id) not in metrics.text
        assert (await http.head("/healthz")).content == b""
        for method, path in (("GET", "/"), ("POST", "/healthz"), ("GET", "/socket.iox")):
            assert (await http.request(method, path)).status_code == 404


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_serves_and_stops_when_told(
    station: Station, tenants: Tenants, number: signal.Signals
) -> None:
    a, _ = tenants
    port = free_port()
    environment = {**os.environ, "SBA_WS_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sba_ws", "serve", env=environment, stderr=asyncio.subprocess.PIPE
    )
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url) as http, asyncio.timeout(30):
        while not await _ready(http):  # noqa: ASYNC110 - another process sends no event
            await asyncio.sleep(0.05)
    watcher = await station.watcher().connect(url, station.token(a))
    run = await station.run(a)
    await watcher.subscribe(run)
    await until(lambda: watcher.seqs() == [1])
    process.send_signal(number)
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert [name for name, _ in watcher.said] == ["drain"]
    assert b"Traceback" not in errors
    assert station.token(a).encode()[:20] not in errors


async def test_a_login_that_could_step_around_the_rules_is_refused_at_start(
    station: Station, database_urls: Any
) -> None:
    environment = {**os.environ, "SBA_WS_PORT": "0", "SBA_DATABASE_URL": database_urls.admin}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sba_ws", "serve", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 3
    assert b"superuser" in errors


def test_wrong_settings_are_told_all_at_once_without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUPABASE_URL", "SBA_DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SBA_WS_PORT", "seventy")
    monkeypatch.setenv("SBA_CORS_ORIGINS", "https://fine.example,*")
    monkeypatch.setenv("REDIS_URL", "http://hidden.example")
    monkeypatch.setenv("SBA_TRUSTED_PROXIES", "not-a-network")
    told = CliRunner().invoke(main, ["serve"])
    assert told.exit_code == 2
    for name in (
        "SUPABASE_URL",
        "SBA_DATABASE_URL",
        "REDIS_URL",
        "SBA_WS_PORT",
        "SBA_CORS_ORIGINS",
        "SBA_TRUSTED",
    ):
        assert name in told.output
    for value in ("seventy", "hidden", "not-a-network"):
        assert value not in told.output


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False
