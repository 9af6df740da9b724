"""Answers are bounded in size, however they are packed, and speak to one event loop alone."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from sba_supabase import Limits, Pool, create_server_client
from sba_supabase.errors import AnswerTooLarge, PoolElsewhere
from tests.unit.supabase.h2_server import H2Server, certificate
from tests.unit.supabase.project import Project


@pytest.fixture
async def project():
    async with Project().running() as running:
        yield running


@pytest.fixture
async def pool():
    async with Pool(Limits(largest=100_000)) as opened:
        yield opened


async def answer(project: Project, pool: Pool, content: bytes, encoding: str = "") -> httpx.Response:
    project.routes["/x"] = lambda _: (200, content)
    project.response_headers = [("content-encoding", encoding)] if encoding else []
    return await pool.lend(project.url).http().get(f"{project.url}/x")


async def test_an_answer_goes_up_to_the_limit_and_no_further(project, pool):
    assert len((await answer(project, pool, b"x" * 100_000)).content) == 100_000
    with pytest.raises(AnswerTooLarge) as refused:
        await answer(project, pool, b"x" * 100_001)
    assert refused.value.largest == 100_000


async def test_what_is_small_on_the_way_and_large_unpacked_is_too_large(project, pool):
    bomb = gzip.compress(b"x" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(AnswerTooLarge):
        await answer(project, pool, bomb, "gzip")


async def test_a_packed_answer_is_read_unpacked(project, pool):
    for packed in (gzip.compress(b"hello"), gzip.compress(b"he") + gzip.compress(b"llo"), b""):
        read = await answer(project, pool, packed, "gzip")
        assert read.content == (b"hello" if packed else b"")
        assert "content-encoding" not in read.headers
    assert project.asked[-1].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("content", "encoding"), [(b"not packed", "gzip"), (b"?", "br"), (b"?", "gzip, gzip")]
)
async def test_what_cannot_be_unpacked_is_an_error(content: bytes, encoding: str, project, pool):
    with pytest.raises(httpx.DecodingError):
        await answer(project, pool, content, encoding)


def test_a_pool_is_of_one_event_loop():
    async def ask(pool: Pool) -> None:
        await pool.lend("http://127.0.0.1:9").http().get("http://127.0.0.1:9")

    pool = Pool()
    with pytest.raises(httpx.ConnectError):
        asyncio.run(ask(pool))
    with pytest.raises(PoolElsewhere):
        asyncio.run(ask(pool))


async def test_no_log_holds_a_token_or_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    pem = certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(pem))
    caplog.set_level(logging.DEBUG)
    async with H2Server().running(pem) as server, Pool(verify=trusted) as pool:
        project = Project(url=server.url, anon_key=SecretStr("sb_publishable_hunter2"))
        client = await create_server_client(project, pool=pool, bearer="hunter2.x.y")
        await client.table("things").select("*").execute()
    assert caplog.records
    assert not [record for record in caplog.records if "hunter2" in record.getMessage()]
    assert "hunter2" not in repr((client, client.options))
