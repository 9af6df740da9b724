"""The parts of redis-py and hiredis that the client stands on."""

from __future__ import annotations

import asyncio

import hiredis
import pytest
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url


@pytest.mark.parametrize(
    ("url", "kind"), [("rediss://h", SSLConnection), ("unix:///s", UnixDomainSocketConnection)]
)
def test_the_url_chooses_the_connection_class(url: str, kind: type[Connection]) -> None:
    assert parse_url(url)["connection_class"] is kind


async def test_a_connection_gives_its_stream_away_and_forgets_it(redis_url: str) -> None:
    connection = Connection(**(parse_url(redis_url) | {"protocol": 2}))
    await connection.connect()
    writer = connection._writer
    assert isinstance(writer, asyncio.StreamWriter)
    assert not await connection.can_read()
    connection._writer = connection._reader = None
    connection._close()
    assert not writer.transport.is_closing()
    writer.transport.abort()


async def test_a_connection_is_never_retried_by_itself() -> None:
    assert Connection().retry.get_retries() == 0


def test_the_reader_tells_an_incomplete_reply_from_every_reply() -> None:
    nothing = object()
    reader = hiredis.Reader(replyError=ValueError, notEnoughData=nothing)
    assert reader.gets() is nothing
    reader.feed(b"$-1\r\n:0\r\n*0\r\n-ERR x\r\n*1\r\n")
    assert [reader.gets() for _ in range(3)] == [None, 0, []]
    assert isinstance(reader.gets(), ValueError)
    assert reader.gets() is nothing


def test_a_reader_refuses_what_is_not_the_protocol() -> None:
    reader = hiredis.Reader()
    reader.feed(b"HTTP/1.1 400\r\n")
    with pytest.raises(hiredis.HiredisError):
        reader.gets()
