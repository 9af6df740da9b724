"""The stand-in before it has a database, over real HTTP."""

import httpx
import pytest

from sba_local.errors import PortTaken
from sba_local.identity import Issuer
from sba_local.ports import LOOPBACK, free_port
from sba_local.standin import StandIn, StandInServer


@pytest.fixture
def issuer(tmp_path):
    return Issuer.load(tmp_path, "http://127.0.0.1:1")


@pytest.fixture
async def client(issuer):
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(StandIn(issuer)), base_url="http://test"
    ) as client:
        yield client


async def test_it_publishes_the_issuers_keys(issuer, client):
    answer = await client.get("/auth/v1/.well-known/jwks.json")
    assert answer.json() == issuer.jwks()
    assert answer.headers["content-type"] == "application/json"


async def test_it_says_that_it_is_for_development_only(client):
    answer = await client.get("/auth/v1/health")
    assert "for development only" in answer.json()["description"]
    assert answer.headers["x-sba-stand-in"] == "development only"


async def test_the_rest_has_to_wait_for_a_database(client):
    answer = await client.get("/auth/v1/token")
    assert answer.status_code == 503
    assert answer.headers["x-sba-stand-in"] == "development only"
    assert (await client.post("/auth/v1/health")).status_code == 405


async def test_it_ignores_what_is_not_http(issuer):
    async def send(_message):
        raise AssertionError

    await StandIn(issuer)({"type": "lifespan"}, None, send)


async def test_it_listens_once_started_and_not_after(issuer):
    port = free_port()
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}") as client:
        async with StandInServer(issuer, port=port):
            assert (await client.get("/auth/v1/health")).status_code == 200
        with pytest.raises(httpx.ConnectError):
            await client.get("/auth/v1/health")


async def test_a_taken_port_is_named(issuer):
    port = free_port()
    async with StandInServer(issuer, port=port):
        with pytest.raises(PortTaken, match=str(port)):
            await StandInServer(issuer, port=port).start()


async def test_stopping_what_was_not_started_is_no_error(issuer):
    await StandInServer(issuer, port=1).stop()
