"""No client can take more than its share, and none that misbehaves disturbs another."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import aiohttp
import httpx
import pytest

from tests.fixtures.databases import Tenant
from tests.integration.ws.conftest import BRISK
from tests.integration.ws.harness import Station, until

Tenants = tuple[Tenant, Tenant]


@asynccontextmanager
async def raw(station: Station, token: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """An authenticated WebSocket without a library that keeps to the rules."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(station.url + "/socket.io/?EIO=4&transport=websocket") as connection,
    ):
        await connection.receive_str()
        await connection.send_str("40" + json.dumps({"token": token}))
        assert (await connection.receive_str()).startswith("40{")
        yield connection


async def closed(connection: aiohttp.ClientWebSocketResponse) -> int | None:
    while (await connection.receive(timeout=15)).type is aiohttp.WSMsgType.TEXT:
        pass
    return connection.close_code


NONSENSE = (
    *("", "x", "4", "7", "43[]", "44{}", "451-[]", "461-[]", "b", "0{}", "2", "42{", "42[", "42{}", "42[]"),
    *("42[7]", '42[["run:subscribe"]]', "421e999[]", "42" + "9" * 200 + "[]"),
    *("4" + "[" * 5_000, "42" + "[" * 20_000),
)


@pytest.mark.parametrize("frame", NONSENSE, ids=range(len(NONSENSE)))
async def test_a_frame_that_no_client_sends_closes_the_socket(
    station: Station, tenants: Tenants, frame: str
) -> None:
    async with raw(station, station.token(tenants[0])) as connection:
        await connection.send_str(frame)
        assert await closed(connection) in {1002, 1008}


async def test_binary_and_oversized_frames_close_the_socket(station: Station, tenants: Tenants) -> None:
    token = station.token(tenants[0])
    async with raw(station, token) as connection:
        await connection.send_bytes(b"4" * 10)
        assert await closed(connection) == 1002
    async with raw(station, token) as connection:
        await connection.send_str("42" + "x" * station.limits.message_bytes)
        assert await closed(connection) == 1009


async def test_malformed_and_oversized_polls_are_refused(station: Station) -> None:
    async with httpx.AsyncClient(base_url=station.url) as http:
        for body, status in (
            (b"\xff", 200),
            (b"4" + b"[" * 9000, 200),
            (b"4" * 70_000, 413),
            (b"451-[]", 200),
            (b"6", 400),
            (b"\x1e".join([b"3"] * 17), 200),
        ):
            opened = await http.get("/socket.io/?EIO=4&transport=polling")
            sid = json.loads(opened.text[1:])["sid"]
            address = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
            assert (body[:9], (await http.post(address, content=body)).status_code) == (body[:9], status)
        await until(lambda: not station.node.gateway.wires)
        assert (await http.get("/socket.io/?EIO=4&transport=polling&sid=unknown")).status_code == 400


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "run_id"),
        ({"run_id": "x"}, "run_id"),
        ({"run_id": 7}, "run_id"),
        (None, "payload"),
        ("text", "payload"),
        ([1, 2], "payload"),
        ({"run_id": str(uuid4()), "after": -1}, "after"),
        ({"run_id": str(uuid4()), "after": "1"}, "after"),
        ({"run_id": str(uuid4()), "after": True}, "after"),
        ({"run_id": str(uuid4()), "after": 2**63}, "after"),
        ({"run_id": str(uuid4()), "after": 1.5}, "after"),
    ],
)
async def test_a_bad_payload_is_told_its_field(
    station: Station, tenants: Tenants, payload: Any, field: str
) -> None:
    watcher = await station.watch(tenants[0])
    error = (await watcher.client.call("run:subscribe", payload))["error"]
    assert error["code"] == "invalid_request"
    assert error["message"].startswith(f"{field}:")


async def test_an_after_beyond_the_run_and_surplus_arguments_are_refused(
    station: Station, tenants: Tenants
) -> None:
    a, _ = tenants
    run = await station.run(a)
    watcher = await station.watch(a)
    assert (await watcher.subscribe(run, after=2))["error"]["message"].startswith("after:")
    two = await watcher.client.call("run:unsubscribe", ({"run_id": str(run)}, {}))
    assert two["error"]["code"] == "invalid_request"
    assert (await watcher.call("auth:refresh", {}))["error"]["message"].startswith("token:")


async def test_a_client_cannot_call_the_servers_own_handlers(station: Station, tenants: Tenants) -> None:
    a, _ = tenants
    run = await station.run(a)
    watcher = await station.watch(a)
    assert (await watcher.subscribe(run))["ok"]
    async with raw(station, station.token(a)) as connection:
        for number, name in enumerate(("connect", "disconnect", "no:such", "*")):
            await connection.send_str(f'42{number}["{name}",{{"token":"x"}}]')
            answer = await connection.receive_str()
            assert json.loads(answer.removeprefix(f"43{number}"))[0]["error"]["code"] == "unknown_event"
        await connection.send_str(f'429["run:subscribe",{{"run_id":"{run}"}}]')
        assert json.loads((await connection.receive_str()).removeprefix("439"))[0]["ok"]


async def test_a_socket_follows_only_so_many_runs(make_station: Callable[..., Any], tenants: Tenants) -> None:
    station: Station = await make_station(limits=replace(BRISK, subscriptions=2))
    a, _ = tenants
    runs = [await station.run(a) for _ in range(3)]
    watcher = await station.watch(a)
    answers = [await watcher.subscribe(run) for run in (*runs, runs[0])]
    assert [answer["ok"] for answer in answers] == [True, True, False, True]
    assert answers[2]["error"]["code"] == "too_many_subscriptions"
    await watcher.call("run:unsubscribe", {"run_id": str(runs[0])})
    assert (await watcher.subscribe(runs[2]))["ok"]


async def test_too_many_events_are_refused_with_a_wait_and_a_flood_ends_the_socket(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    station: Station = await make_station(
        limits=replace(BRISK, events_per_second=0.5, events_burst=3, events_refused=5)
    )
    a, _ = tenants
    watcher = await station.watch(a)
    calm = await station.watch(a)
    payload = {"run_id": str(uuid4())}
    told = [await watcher.call("run:unsubscribe", payload) for _ in range(3)]
    assert [answer["ok"] for answer in told] == [True, True, False]
    error = told[2]["error"]
    assert error["code"] == "rate_limited"
    assert 0 < error["retry_after"] <= 2
    async with raw(station, station.token(a)) as connection:
        for _ in range(20):
            await connection.send_str('42["run:unsubscribe",{}]')
        assert await closed(connection) == 1008
    assert (await calm.call("run:unsubscribe", payload))["ok"]


async def test_a_client_that_stops_reading_is_cut_off_and_others_are_not_held_up(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    station: Station = await make_station(
        limits=replace(
            BRISK, queue_bytes=65_536, queue_bytes_hard=131_072, socket_buffer=65_536, stall_timeout=1.0
        )
    )
    a, _ = tenants
    run = await station.run(a)
    healthy = await station.watch(a)
    await healthy.subscribe(run)
    deaf = await _deaf(station, a)
    try:
        deaf.write(_frame(f'420["run:subscribe",{{"run_id":"{run}"}}]'))
        await until(lambda: len(station.node.gateway.wires) == 2)
        block = {"text": "x" * 32_000}
        for _ in range(200):
            await station.append(a, run, data=block)
        await until(lambda: len(station.node.gateway.wires) == 1)
        await until(lambda: len(healthy.events) == 201)
        assert healthy.seqs() == list(range(1, 202))
    finally:
        deaf.transport.abort()


async def test_a_flood_of_answers_nobody_reads_is_cut_off_at_the_hard_bound(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    station: Station = await make_station(
        limits=replace(
            BRISK,
            queue_bytes=4_096,
            queue_bytes_hard=8_192,
            socket_buffer=4_096,
            events_per_second=1e6,
            events_burst=10**6,
        )
    )
    deaf = await _deaf(station, tenants[0])
    await until(lambda: len(station.node.gateway.wires) == 1)
    question = _frame('420["run:unsubscribe",{"run_id":"' + str(uuid4()) + '"}]') * 500
    try:
        async with asyncio.timeout(30):
            while station.node.gateway.wires:
                deaf.write(question)
                await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(_drained(deaf))), 1)
    except (TimeoutError, OSError):
        await until(lambda: not station.node.gateway.wires)
    finally:
        deaf.transport.abort()


async def _drained(writer: asyncio.StreamWriter) -> None:
    try:
        await writer.drain()
    except OSError:
        return


def _frame(text: str) -> bytes:
    """A masked text frame."""
    body = text.encode()
    size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + body


async def _deaf(station: Station, tenant: Tenant) -> asyncio.StreamWriter:
    """A client that authenticates and never reads again."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(0)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", station.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n"
        b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_frame("40" + json.dumps({"token": station.token(tenant)})))
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport reads
    return writer


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]])
async def test_a_replay_larger_than_the_queue_pauses_and_arrives_whole(
    make_station: Callable[..., Any], tenants: Tenants, transports: list[str]
) -> None:
    station: Station = await make_station(
        limits=replace(BRISK, queue_bytes=8_192, queue_bytes_hard=16_384, poll_interval=3600)
    )
    a, _ = tenants
    runs = [await station.run(a), await station.run(a)]
    for run in runs:
        for _ in range(30):
            await station.append(a, run, data={"text": "x" * 2_000}, carried=False)
    watcher = await station.watch(a, transports=transports)
    for run in runs:
        assert (await watcher.subscribe(run))["ok"]
    await until(lambda: len(watcher.events) >= 62)
    assert watcher.seqs(runs[0]) == watcher.seqs(runs[1]) == list(range(1, 32))
    assert watcher.disconnects == []
