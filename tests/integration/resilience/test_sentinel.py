"""The primary that the sentinels name, through failovers, with real sentinels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import quote

import pytest

from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, open_redis
from tests.integration.resilience.cluster_servers import (
    PASSWORD,
    SENTINEL_PASSWORD,
    SERVICE,
    Member,
    Watched,
)
from tests.integration.resilience.faults import eventually, works


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    made = Watched(tmp_path_factory.mktemp("sentinels"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def settings(watched: Watched) -> RedisSettings:
    return RedisSettings(watched.url, command_timeout=2.0, sentinel_password=SENTINEL_PASSWORD)


@pytest.fixture
async def redis(settings: RedisSettings) -> AsyncIterator[RedisClient]:
    async with open_redis(settings) as client:
        yield client


async def test_commands_go_to_the_primary(redis: RedisClient, watched: Watched) -> None:
    assert await redis.execute("SET", "where", "here") == b"OK"
    assert watched.primary.ask("GET", "where") == "here"
    assert redis.address == f"{SERVICE} at 127.0.0.1:{watched.primary.port}"
    assert redis.state == "closed"


async def test_no_password_is_ever_shown(redis: RedisClient, settings: RedisSettings) -> None:
    assert PASSWORD not in f"{redis!r} {redis.address} {settings!r}"
    assert SENTINEL_PASSWORD not in f"{redis!r} {redis.address} {settings!r}"


async def test_the_sentinels_password_may_be_in_the_url(watched: Watched) -> None:
    url = f"{watched.url}?sentinel_password={quote(SENTINEL_PASSWORD)}"
    async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
        await redis.ping()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sentinel_password": "wrong"}, "authentication"),
        ({"sentinel_password": ""}, "authentication"),
        ({"url": "/another/0"}, "not_ready"),
        ({"url": "@127.0.0.1:1/main"}, "refused"),
    ],
)
async def test_why_no_primary_is_found_is_said(
    settings: RedisSettings, change: dict[str, str], reason: str
) -> None:
    if "url" in change:
        ours = "@" + settings.url.partition("@")[2] if change["url"].startswith("@") else f"/{SERVICE}/0"
        change = {"url": settings.url.replace(ours, change["url"])}
    async with open_redis(replace(settings, **change)) as redis:
        with pytest.raises(RedisUnavailable) as caught:
            await redis.ping()
    assert caught.value.reason == reason
    assert PASSWORD not in f"{caught.value} {caught.value.__cause__} {redis.address}"


async def test_one_sentinel_that_hangs_delays_nobody(watched: Watched, settings: RedisSettings) -> None:
    with watched.sentinels[0].frozen():
        async with asyncio.timeout(20), open_redis(replace(settings, connect_timeout=60.0)) as redis:
            await redis.ping()


@asynccontextmanager
async def liar(named: Member) -> AsyncIterator[str]:
    """The address of a sentinel that names this server as the primary, whatever it is asked."""
    port = str(named.port).encode()

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%b\r\n" % (len(port), port))
        writer.close()

    async with await asyncio.start_server(lie, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_one_sentinel_that_is_wrong_is_outvoted(watched: Watched, settings: RedisSettings) -> None:
    honest = f"127.0.0.1:{watched.sentinels[0].port}"
    async with (
        liar(watched.replica) as wrong,
        open_redis(replace(settings, url=settings.url.replace(honest, wrong))) as redis,
    ):
        await redis.ping()
        assert redis.address == f"{SERVICE} at 127.0.0.1:{watched.primary.port}"


async def test_a_server_that_says_it_is_a_replica_is_not_used(watched: Watched) -> None:
    async with liar(watched.replica) as wrong:
        url = f"redis+sentinel://:{PASSWORD}@{wrong}/{SERVICE}"
        async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
            with pytest.raises(RedisUnavailable) as caught:
                await redis.ping()
    assert caught.value.reason == "not_ready"


async def test_a_user_who_may_not_ask_for_the_role_believes_the_sentinels(
    watched: Watched, settings: RedisSettings
) -> None:
    watched.primary.ask("ACL", "SETUSER", "plain", "on", f">{PASSWORD}", "allkeys", "+@all", "-role")
    url = settings.url.replace(f"//:{PASSWORD}", f"//plain:{PASSWORD}")
    async with open_redis(replace(settings, url=url)) as redis:
        assert await redis.execute("ACL", "WHOAMI") == b"plain"


async def test_a_coordinated_failover_is_followed(redis: RedisClient, watched: Watched) -> None:
    await redis.ping()
    before = watched.primary
    await asyncio.to_thread(watched.fail_over)

    async def moved() -> bool:
        return await works(redis) and redis.address != f"{SERVICE} at 127.0.0.1:{before.port}"

    await eventually(moved, within=20)
    await eventually(lambda: redis.address == f"{SERVICE} at 127.0.0.1:{watched.primary.port}", within=20)


async def test_a_killed_primary_is_replaced(redis: RedisClient, watched: Watched) -> None:
    await eventually(watched.settled, within=20)
    before = watched.primary
    heard: list[str] = []
    watch = redis.watch("watched:", heard.append)
    await watch.ready()
    epoch = watch.epoch
    before.kill()
    with pytest.raises(RedisUnavailable):
        await redis.ping()
    await eventually(lambda: works(redis), within=20)
    assert redis.address != f"{SERVICE} at 127.0.0.1:{before.port}"
    await eventually(lambda: redis.address == f"{SERVICE} at 127.0.0.1:{watched.primary.port}", within=20)
    await watch.ready()
    assert watch.epoch > epoch
    await redis.execute("SET", "watched:k", "1")
    await eventually(lambda: heard == ["watched:k"])
