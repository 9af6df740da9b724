"""Who may connect, what the others are told, and how long anyone may stay."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import psycopg
import pytest
from socketio.exceptions import ConnectionError as Refused

from sba_local.identity import Issuer
from tests.fixtures.databases import Tenant
from tests.integration.ws.conftest import BRISK
from tests.integration.ws.harness import Proxy, Station, until

Tenants = tuple[Tenant, Tenant]
ORIGIN = "https://app.example.com"


async def refused(station: Station, token: Any, **options: Any) -> dict[str, Any]:
    """The data of the connect_error."""
    watcher = station.watcher()
    with pytest.raises(Refused):
        await watcher.connect(station.url, token, **options)
    refusal = watcher.refusals[0]
    assert isinstance(refusal["message"], str)
    data: dict[str, Any] = refusal["data"]
    return data


async def test_each_bad_token_is_told_its_code(station: Station, tenants: Tenants, tmp_path: Any) -> None:
    a, b = tenants
    good = station.token(a)
    (tmp_path / "other").mkdir()
    other = Issuer.load(tmp_path / "other", "http://elsewhere.internal")
    head, body, _ = good.split(".")
    codes = {
        "token_missing": None,
        "token_malformed": "nonsense",
        "token_too_large": "x" * 9000,
        "token_expired": station.token(a, ttl=-60),
        "key_unknown": other.mint(user_id=a.user, tenant_id=a.id),
        "signature_wrong": f"{head}.{body}.{'A' * 86}",
    }
    told = {code: (await refused(station, token))["code"] for code, token in codes.items()}
    assert told == {code: code for code in codes}
    assert (await refused(station, 7))["code"] == "token_malformed"
    assert (await refused(station, station.token(a, named=False)))["code"] == "tenant_missing"
    assert (await refused(station, good, tenant_id=b.id))["code"] == "not_a_member"
    assert (await refused(station, good, tenant_id="acme"))["code"] == "tenant_malformed"
    stranger = station.token(a, user=uuid.uuid4())
    assert (await refused(station, stranger))["code"] == "not_a_member"
    await until(lambda: not station.node.gateway.wires)


async def test_auth_that_is_no_object_is_a_missing_token(station: Station) -> None:
    for auth in ("text", ["list"], None):
        client = station.watcher()
        with pytest.raises(Refused):
            await client.client.connect(station.url, auth=auth)
        assert client.refusals[0]["data"]["code"] == "token_missing"


async def test_a_tenant_may_be_picked_among_ones_own(
    station: Station, tenants: Tenants, database_urls: Any
) -> None:
    a, b = tenants
    async with await psycopg.AsyncConnection.connect(database_urls.admin, autocommit=True) as admin:
        await admin.execute(
            "insert into public.memberships (tenant_id, user_id, role) values (%s, %s, 'viewer')",
            (b.id, a.user),
        )
    run = await station.run(b)
    watcher = await station.watch(a, tenant_id=b.id)
    assert (await watcher.subscribe(run))["ok"]
    assert (await watcher.call("auth:refresh", {"token": station.token(a, ttl=900)})) == {"ok": True}


async def test_a_foreign_run_and_no_run_are_told_apart_by_nobody(station: Station, tenants: Tenants) -> None:
    a, b = tenants
    foreign = await station.run(b)
    watcher = await station.watch(a)
    answers = [await watcher.subscribe(run) for run in (foreign, uuid.uuid4())]
    assert answers[0] == answers[1] == {"ok": False, "error": {"code": "not_found", "message": "no such run"}}
    await station.append(b, foreign)
    assert (await watcher.call("run:unsubscribe", {"run_id": str(foreign)}))["ok"]
    assert watcher.events == []


async def test_an_origin_is_refused_unless_it_is_listed_exactly(make_station: Callable[..., Any]) -> None:
    station = await make_station(SBA_CORS_ORIGINS=ORIGIN)
    query = "/socket.io/?EIO=4&transport=polling"
    allowed = {None: 200, ORIGIN: 200}
    others = [
        "null",
        "https://evil.example",
        ORIGIN.upper(),
        f"{ORIGIN}:443",
        "http://app.example.com",
        f"{ORIGIN}/",
    ]
    async with httpx.AsyncClient(base_url=station.url) as http:
        for origin, status in {**allowed, **dict.fromkeys(others, 400)}.items():
            answer = await http.get(query, headers={} if origin is None else {"origin": origin})
            assert (origin, answer.status_code) == (origin, status)
            assert answer.headers.get("access-control-allow-origin") == (origin if status == 200 else None)
        doubled = await http.get(query, headers=[("origin", ORIGIN), ("origin", "https://evil.example")])
        assert doubled.status_code == 400
    async with aiohttp.ClientSession() as session:
        address = station.url + "/socket.io/?EIO=4&transport=websocket"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(address, headers={"origin": "https://evil.example"})
        async with session.ws_connect(address, headers={"origin": ORIGIN}) as socket:
            assert (await socket.receive_str()).startswith("0{")


async def test_no_origin_is_allowed_by_default(station: Station) -> None:
    async with httpx.AsyncClient(base_url=station.url) as http:
        answer = await http.get("/socket.io/?EIO=4&transport=polling", headers={"origin": station.url})
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers


async def test_a_socket_that_never_authenticates_is_closed(make_station: Callable[..., Any]) -> None:
    station = await make_station(limits=replace(BRISK, handshake_timeout=0.3))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(station.url + "/socket.io/?EIO=4&transport=websocket") as socket,
    ):
        await socket.receive_str()
        message = await socket.receive(timeout=10)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    async with httpx.AsyncClient(base_url=station.url) as http:
        await http.get("/socket.io/?EIO=4&transport=polling")
        await until(lambda: not station.node.gateway.wires)


async def test_a_refused_socket_is_closed_and_not_listened_to(station: Station) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(station.url + "/socket.io/?EIO=4&transport=websocket") as socket,
    ):
        await socket.receive_str()
        await socket.send_str('40{"token":"nonsense"}')
        assert json.loads((await socket.receive_str())[2:])["data"] == {"code": "token_malformed"}
        await socket.send_str('40{"token":"nonsense"}')
        assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE


async def test_a_user_who_connects_too_often_is_told_when_to_come_back(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    station = await make_station(SBA_WS_CONNECTS_PER_USER="2")
    a, b = tenants
    for _ in range(2):
        await station.watch(a)
    data = await refused(station, station.token(a))
    assert data["code"] == "rate_limited"
    assert 0 < data["retry_after"] <= 30
    await station.watch(b)


async def test_a_user_has_only_so_many_sockets(make_station: Callable[..., Any], tenants: Tenants) -> None:
    station = await make_station(limits=replace(BRISK, connections_per_user=1))
    a, b = tenants
    first = await station.watch(a)
    assert (await refused(station, station.token(a)))["code"] == "too_many_connections"
    await station.watch(b)
    await first.close()
    await until(lambda: len(station.node.gateway.wires) <= 2)
    await station.watch(a)


async def test_an_address_that_connects_too_often_is_turned_away_at_the_door(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    station = await make_station(SBA_WS_CONNECTS_PER_ADDRESS="1", SBA_TRUSTED_PROXIES="127.0.0.1/32")
    query = "/socket.io/?EIO=4&transport=polling"
    async with httpx.AsyncClient(base_url=station.url) as http:
        assert (await http.get(query)).status_code == 200
        answer = await http.get(query)
        assert answer.status_code == 429
        assert answer.json()["code"] == "rate_limited"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await http.get(query, headers={"x-forwarded-for": "203.0.113.9"})).status_code == 200
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as told:
            await session.ws_connect(station.url + "/socket.io/?EIO=4&transport=websocket")
        assert told.value.status == 429


async def test_a_full_node_says_so(make_station: Callable[..., Any], tenants: Tenants) -> None:
    station = await make_station(SBA_WS_MAX_CONNECTIONS="1")
    a, _ = tenants
    watcher = await station.watch(a)
    async with httpx.AsyncClient(base_url=station.url) as http:
        answer = await http.get("/socket.io/?EIO=4&transport=polling")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert (await http.get("/socket.io/?EIO=4&transport=polling&j=1")).status_code == 400
    await watcher.close()
    await until(lambda: not station.node.gateway.wires)
    await station.watch(a)


async def test_a_client_is_warned_before_its_token_ends_and_disconnected_when_it_does(
    make_station: Callable[..., Any], tenants: Tenants
) -> None:
    station = await make_station()
    a, _ = tenants
    watcher = await station.watch(a, ttl=3)
    await until(lambda: watcher.said and watcher.said[0][0] == "auth:expiring")
    assert set(watcher.said[0][1]) == {"at"}
    await until(lambda: watcher.disconnects)
    assert not watcher.client.connected
    await until(lambda: not station.node.gateway.wires)


async def test_a_refreshed_token_keeps_the_socket_open(station: Station, tenants: Tenants) -> None:
    a, b = tenants
    watcher = await station.watch(a, ttl=4)
    left = await station.watch(a, ttl=4)
    told = {
        "user_mismatch": station.token(b),
        "token_malformed": "nonsense",
        "token_expired": station.token(a, ttl=-100),
    }
    for code, token in told.items():
        assert (await watcher.call("auth:refresh", {"token": token}))["error"]["code"] == code
    assert (await watcher.call("auth:refresh", {"token": station.token(a)})) == {"ok": True}
    run = await station.run(a)
    await until(lambda: left.disconnects)
    assert (await watcher.subscribe(run))["ok"]
    await until(lambda: watcher.seqs() == [1])
    assert watcher.disconnects == []


async def test_a_token_for_another_tenant_of_the_same_user_does_not_refresh(
    station: Station, tenants: Tenants, database_urls: Any
) -> None:
    a, b = tenants
    async with await psycopg.AsyncConnection.connect(database_urls.admin, autocommit=True) as admin:
        await admin.execute(
            "insert into public.memberships (tenant_id, user_id, role) values (%s, %s, 'viewer')",
            (b.id, a.user),
        )
    watcher = await station.watch(a)
    answer = await watcher.call("auth:refresh", {"token": station.token(b, user=a.user)})
    assert answer["error"]["code"] == "tenant_mismatch"


async def test_a_revoked_membership_ends_its_sockets(
    station: Station, tenants: Tenants, database_urls: Any
) -> None:
    a, b = tenants
    gone, kept = await station.watch(a), await station.watch(b)
    async with await psycopg.AsyncConnection.connect(database_urls.admin, autocommit=True) as admin:
        await admin.execute("update public.memberships set revoked_at = now() where tenant_id = %s", (a.id,))
    await until(lambda: gone.disconnects)
    assert kept.client.connected
    assert (await refused(station, station.token(a)))["code"] == "not_a_member"


async def test_a_command_finds_a_revoked_membership_at_once(
    make_station: Callable[..., Any], tenants: Tenants, database_urls: Any
) -> None:
    station = await make_station(limits=replace(BRISK, membership_interval=3600))
    a, _ = tenants
    run = await station.run(a)
    watcher = await station.watch(a)
    async with await psycopg.AsyncConnection.connect(database_urls.admin, autocommit=True) as admin:
        await admin.execute("update public.memberships set revoked_at = now() where tenant_id = %s", (a.id,))
    assert (await watcher.subscribe(run))["error"]["code"] == "not_a_member"
    await until(lambda: watcher.disconnects)


async def test_without_a_database_a_handshake_is_told_to_come_back(
    make_station: Callable[..., Any], tenants: Tenants, database_urls: Any
) -> None:
    parts = urlsplit(database_urls.app)
    proxy = Proxy("127.0.0.1", parts.port or 5432)
    await proxy.start()
    station = await make_station(
        SBA_DATABASE_URL=database_urls.app.replace(f":{parts.port}/", f":{proxy.port}/")
    )
    await proxy.cut()
    data = await refused(station, station.token(tenants[0]))
    assert data["code"] == "unavailable"
    assert data["retry_after"] >= 1


async def test_a_client_that_leaves_its_namespace_loses_its_socket(
    station: Station, tenants: Tenants
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(station.url + "/socket.io/?EIO=4&transport=websocket") as socket,
    ):
        await socket.receive_str()
        await socket.send_str("40" + json.dumps({"token": station.token(tenants[0])}))
        assert (await socket.receive_str()).startswith("40")
        await socket.send_str("41")
        assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
