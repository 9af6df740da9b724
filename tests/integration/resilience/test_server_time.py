"""The server's time, known without asking."""

from __future__ import annotations

import time

import pytest

from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, open_redis
from tests.integration.resilience.faults import Server, eventually


async def exact(redis: RedisClient) -> float:
    seconds, micros = await redis.execute("TIME")
    return int(seconds) + int(micros) / 1e6


async def test_it_lies_between_what_the_server_says_before_and_after(redis: RedisClient) -> None:
    before = await exact(redis)
    told = redis.server_time()
    after = await exact(redis)
    assert told is not None
    assert before - 1.0 <= told <= after + 1.0


async def test_it_is_unknown_while_the_server_has_never_been_there(server: Server) -> None:
    url = server.url
    server.kill()
    async with open_redis(RedisSettings(url)) as redis:
        assert redis.server_time() is None
        server.start()
        await eventually(lambda: connects(redis))
        assert redis.server_time() is not None
        server.kill()
        assert redis.server_time() is not None, "time goes on without the server"


async def test_it_is_asked_for_again_in_the_background_when_it_is_old(redis_url: str) -> None:
    ahead = 0.0
    settings = RedisSettings(redis_url, command_timeout=2.0)
    async with open_redis(settings, clock=lambda: time.monotonic() + ahead) as redis:
        await redis.ping()
        asked = await times_asked(redis)
        redis.server_time()
        ahead = 100.0
        late = redis.server_time()
        assert late is not None
        assert late - await exact(redis) > 90.0, "nobody has asked yet"
        await eventually(lambda: is_right(redis))
        assert await times_asked(redis) - asked == 2, "once by the client, once by this test"


async def is_right(redis: RedisClient) -> bool:
    told, seconds = redis.server_time(), time.time()
    return told is not None and abs(told - seconds) < 5.0


async def times_asked(redis: RedisClient) -> int:
    stats = str(await redis.execute("INFO", "commandstats"), "ascii").splitlines()
    line = next(line for line in stats if line.startswith("cmdstat_time:"))
    return int(line.partition("calls=")[2].partition(",")[0])


async def connects(redis: RedisClient) -> bool:
    try:
        await redis.ping()
    except RedisUnavailable:
        return False
    return True


async def test_a_time_the_server_keeps_secret_stays_unknown(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as admin:
        await admin.execute("ACL", "SETUSER", "timeless", "on", ">pw", "~*", "+@all", "-time")
        url = f"redis://timeless:pw@127.0.0.1:{server.port}/0"
        async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
            with pytest.raises(Exception, match="NOPERM"):
                await redis.execute("TIME")
            assert redis.server_time() is None
            await redis.ping()
            assert redis.server_time() is None
