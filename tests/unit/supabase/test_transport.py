"""The shared pool: HTTP/2 for everyone at once, and an end to every answer."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from sba_supabase import Limits, Pool, create_server_client
from tests.unit.supabase.h2_server import H2Server, certificate
from tests.unit.supabase.key_host import KeyHost, drip
from tests.unit.supabase.project import Project


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(pem: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pem))


async def test_two_hundred_users_share_connections_of_http2_and_nothing_else(pem, trusted):
    """No answer comes before a hundred requests are under way."""
    users = [f"user{number}.x.y" for number in range(200)]
    async with H2Server(quorum=100).running(pem) as server, Pool(verify=trusted) as pool:
        project = Project(url=server.url, anon_key=SecretStr("sb_publishable_abc"))

        async def act(token: str) -> list[dict[str, str]]:
            client = await create_server_client(project, pool=pool, bearer=token)
            rounds = [await client.table("things").select("*").execute() for _ in range(2)]
            return [answer.data[0] for answer in rounds]

        answers = await asyncio.gather(*map(act, users))
        assert server.connections < 100
    for token, rounds in zip(users, answers, strict=True):
        assert [seen["authorization"] for seen in rounds] == [f"Bearer {token}"] * 2
        assert all("cookie" not in seen for seen in rounds)


async def test_a_certificate_nobody_vouches_for_is_refused(pem):
    async with H2Server().running(pem) as server, Pool() as pool:
        with pytest.raises(httpx.ConnectError):
            await pool.lend(server.url).http().get(server.url)
        assert server.connections == 0


async def test_a_body_that_never_ends_is_cut_off(pem):
    async with KeyHost().running() as host, Pool(Limits(total=0.2)) as pool:
        host.behaviour = drip
        with pytest.raises(httpx.ReadTimeout, match="too long"):
            await pool.lend(host.url).http().get(host.url)
