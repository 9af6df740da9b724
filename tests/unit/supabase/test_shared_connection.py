"""Users on one connection of HTTP/2: none of them suffers for what another asks, awaits or gives up."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import h2.connection
import h2.events
import httpx
import pytest

from sba_supabase import Limits, Pool
from sba_supabase.transport import Loan
from tests.unit.supabase.h2_server import H2Server, certificate

LONG = 20.0


class Routes(H2Server):
    """`/held` is answered once it is let go, `/hung` never, `/<n>` with that many bytes as there is room."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()
        self.asked: dict[str, asyncio.Event] = {"/held": asyncio.Event(), "/hung": asyncio.Event()}

    async def _answer(
        self,
        connection: h2.connection.H2Connection,
        writer: asyncio.StreamWriter,
        event: h2.events.RequestReceived,
    ) -> None:
        path = {bytes(name): bytes(value).decode() for name, value in event.headers}[b":path"]
        if path in self.asked:
            self.asked[path].set()
            await (asyncio.Event() if path == "/hung" else self.let_go).wait()
        connection.send_headers(event.stream_id, [(":status", "200")])
        left = int(path[1:]) if path[1:].isdigit() else 2
        while left:
            room = connection.local_flow_control_window(event.stream_id)
            size = min(room, connection.max_outbound_frame_size, left)
            if not size:
                await self.heard.wait()
                continue
            left -= size
            connection.send_data(event.stream_id, b"x" * size, end_stream=not left)
            writer.write(connection.data_to_send())
            await writer.drain()


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(pem: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pem))


@pytest.fixture
async def server(pem: Path):
    async with Routes().running(pem) as running:
        yield running


@pytest.fixture
async def pool(trusted: ssl.SSLContext):
    async with Pool(verify=trusted) as opened:
        yield opened


def within(pool: Pool, server: H2Server, **limits: float) -> httpx.AsyncClient:
    """A client of the pool with limits of its own."""
    return Loan(pool, httpx.URL(server.url), Limits(**limits)).http()


async def test_who_waits_in_vain_takes_nobody_along(server, pool):
    patient = pool.lend(server.url).http()
    hurried = asyncio.create_task(within(pool, server, read=1.0).get(f"{server.url}/hung"))
    await server.asked["/hung"].wait()
    waiting = asyncio.create_task(patient.get(f"{server.url}/held"))
    await server.asked["/held"].wait()
    with pytest.raises(httpx.ReadTimeout):
        await hurried
    server.let_go.set()
    assert (await asyncio.wait_for(waiting, LONG)).content == b"xx"
    assert server.connections == 1


async def test_what_others_are_answered_does_not_lengthen_the_wait(server, pool):
    hurried = within(pool, server, read=0.5, total=3600.0)
    hung = asyncio.create_task(hurried.get(f"{server.url}/hung"))
    async with asyncio.timeout(LONG):
        while not hung.done():
            await hurried.get(f"{server.url}/2")
    with pytest.raises(httpx.ReadTimeout):
        await hung


@pytest.mark.parametrize("body", [b"", b"some"])
async def test_a_body_that_is_sent_gives_the_answer_its_time_afterwards(body: bytes, server, pool):
    """The server is slow to take the body, and then never answers: both are told from each other."""
    taking = asyncio.Event()

    async def slowly():
        await taking.wait()
        yield body

    hurried = within(pool, server, read=0.2, total=3600.0)
    asking = asyncio.create_task(hurried.post(f"{server.url}/hung", content=slowly()))
    done, _ = await asyncio.wait([asking], timeout=0.5)
    assert not done
    taking.set()
    with pytest.raises(httpx.ReadTimeout):
        await asyncio.wait_for(asking, LONG)


async def test_answers_that_are_given_up_leave_room_for_others(server, trusted):
    """Two of them are more than a connection has room for, unless somebody hears them to their end."""
    async with Pool(Limits(read=5.0), verify=trusted) as pool:
        http = pool.lend(server.url).http()
        for _ in range(2):
            async with http.stream("GET", f"{server.url}/9000000") as answer:
                await anext(answer.aiter_raw())
        assert len((await http.get(f"{server.url}/100000")).content) == 100_000
        assert server.connections == 1


async def test_a_request_given_up_at_any_moment_breaks_nobody_elses(server, pool):
    http = pool.lend(server.url).http()

    async def ask() -> int:
        return len((await http.post(f"{server.url}/10", content=b"y" * 10)).content)

    for moment in range(50):
        others = [asyncio.create_task(ask()) for _ in range(4)]
        given_up = asyncio.create_task(ask())
        for _ in range(moment):
            await asyncio.sleep(0)
        given_up.cancel()
        assert await asyncio.gather(*others) == [10] * 4
        await asyncio.gather(given_up, return_exceptions=True)
    assert server.connections == 1


async def test_a_pool_that_closes_leaves_nothing_under_way(server, trusted):
    async with Pool(verify=trusted) as pool:
        asking = asyncio.create_task(pool.lend(server.url).http().get(f"{server.url}/hung"))
        await server.asked["/hung"].wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert len(pool.strays) == 1
    assert len(pool.strays) == 0
