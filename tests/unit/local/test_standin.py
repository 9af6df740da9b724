"""The stand-in before it has a database, over real HTTP."""

import httpx
import pytest

from sba_local.errors import PortTaken, WouldBeExposed
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


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "example.com", "", "127.evil"])  # noqa: S104  # refused
async def test_it_refuses_an_address_that_others_could_reach(issuer, host):
    with pytest.raises(WouldBeExposed, match="development and tests only") as caught:
        StandInServer(issuer, port=1, host=host)
    assert caught.value.host == host


@pytest.mark.parametrize("host", ["127.0.0.2", "::1", "localhost"])
async def test_every_loopback_address_is_good(issuer, host):
    assert StandInServer(issuer, port=1, host=host)


async def test_it_listens_for_others_where_that_is_asked_for(issuer):
    port = free_port()
    async with (
        httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}") as client,
        StandInServer(issuer, port=port, host="0.0.0.0", exposed=True),  # noqa: S104  # asked for
    ):
        answer = await client.get("/auth/v1/health")
        assert answer.headers["x-sba-stand-in"] == "development only"
