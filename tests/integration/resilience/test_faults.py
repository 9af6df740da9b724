"""What callers see while the server hangs, dies, forgets or refuses."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit, urlunsplit

import pytest

from sba_resilience.redis import RedisClient, RedisCommandError, RedisSettings, RedisUnavailable, open_redis
from tests.integration.resilience.faults import Server, eventually


async def reason_of(redis: RedisClient) -> str:
    try:
        await redis.ping()
    except RedisUnavailable as error:
        return error.reason
    return "answered"


def stall_the_loop() -> None:
    """Do what a busy callback does, for longer than the time limit."""
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        pass


async def until_open(redis: RedisClient) -> list[str]:
    reasons: list[str] = []
    while redis.state == "closed":
        reasons.append(await reason_of(redis))
        assert len(reasons) < 50
    return reasons


async def test_a_frozen_server_opens_the_breaker_and_a_thawed_one_closes_it(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        await redis.ping()
        with server.frozen():
            reasons = await until_open(redis)
            assert set(reasons) == {"timeout"}
            assert len(reasons) <= 10
            assert await reason_of(redis) == "breaker_open"
        await eventually(lambda: redis.state == "closed")
        await redis.ping()


async def test_an_open_breaker_answers_without_waiting_a_turn(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        with server.frozen():
            await until_open(redis)
            asking = redis.execute("PING")
            with pytest.raises(RedisUnavailable, match="breaker_open"):
                asking.send(None)


async def test_a_frozen_server_gives_all_of_many_callers_a_verdict_at_the_time_limit(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        await redis.ping()
        with server.frozen():
            verdicts = await asyncio.gather(
                *(redis.execute("INCR", "n") for _ in range(300)), return_exceptions=True
            )
            assert {type(verdict) for verdict in verdicts} == {RedisUnavailable}
            assert redis.state == "closed", "one stalled round is one failure, not three hundred"


async def test_a_late_reply_is_never_taken_for_the_reply_to_a_later_command(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        await redis.ping()
        with server.frozen(), pytest.raises(RedisUnavailable):
            await redis.execute("ECHO", "late")
        await eventually(lambda: _answers(redis))
        assert await redis.execute("ECHO", "fresh") == b"fresh"


async def _answers(redis: RedisClient) -> bool:
    return await reason_of(redis) == "answered"


async def test_a_stalled_event_loop_is_not_held_against_the_server(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        await redis.ping()
        for _ in range(8):
            asked = asyncio.ensure_future(redis.execute("ECHO", "here"))
            await asyncio.sleep(0)
            stall_the_loop()
            assert await asked == b"here"
        assert redis.state == "closed"


async def test_a_killed_server_fails_fast_and_is_found_again_after_its_restart(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        await redis.ping()
        server.kill()
        assert set(await until_open(redis)) <= {"lost", "refused"}
        server.start()
        await eventually(lambda: redis.state == "closed")
        assert await redis.execute("ECHO", "back") == b"back"


async def test_recovery_needs_no_traffic(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        await until_open(redis)
        server.start()
        await eventually(lambda: redis.state == "closed")


async def test_a_server_that_is_away_at_the_start_is_no_error(server: Server) -> None:
    url = server.url
    server.kill()
    async with open_redis(RedisSettings(url)) as redis:
        assert await reason_of(redis) == "refused"
        server.start()
        await eventually(lambda: _answers(redis))


async def test_killed_connections_cost_at_most_what_was_in_flight(server: Server) -> None:
    settings = RedisSettings(server.url, command_timeout=2.0)
    async with open_redis(settings) as redis, open_redis(settings) as other:
        for _ in range(20):
            await redis.ping()
            await other.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await eventually(lambda: _answers(redis))
        assert redis.state == "closed"


async def test_a_wrong_password_is_named_but_never_shown(server: Server) -> None:
    parts = urlsplit(server.url)
    url = urlunsplit(parts._replace(netloc=f":wrong-hunter2@{parts.hostname}:{parts.port}"))
    settings = RedisSettings(url)
    async with open_redis(settings) as redis:
        with pytest.raises(RedisUnavailable) as caught:
            await redis.ping()
        assert caught.value.reason == "authentication"
        shown = f"{caught.value!r} {caught.value.__cause__!r} {redis!r} {settings!r}"
        assert "hunter2" not in shown
        assert f"127.0.0.1:{parts.port}" in repr(redis)


async def test_a_busy_server_is_unavailable_and_stays_connected(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        await redis.execute("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(RedisUnavailable, match="OOM"):
            await redis.execute("SET", "k", "v")
        assert await redis.execute("GET", "k") is None
        assert redis.state == "closed"


async def test_a_server_that_became_a_replica_is_dialled_anew(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        before = await redis.execute("CLIENT", "ID")
        await redis.execute("REPLICAOF", "127.0.0.1", 1)
        write, read = await asyncio.gather(
            redis.execute("SET", "k", "v"), redis.execute("ECHO", "served"), return_exceptions=True
        )
        assert isinstance(write, RedisUnavailable)
        assert "READONLY" in str(write)
        assert read == b"served", "those who wait on the old connection are not cut off"
        await redis.execute("REPLICAOF", "NO", "ONE")
        assert await redis.execute("CLIENT", "ID") != before
        assert await redis.execute("SET", "k", "v") == b"OK"
        assert redis.state == "closed"


async def test_callers_that_meet_an_opening_breaker_all_get_redis_unavailable(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        for _ in range(30):
            calls = [redis.ping() for _ in range(20)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {RedisUnavailable}


async def test_a_command_an_acl_forbids_is_a_command_error(server: Server) -> None:
    parts = urlsplit(server.url)
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as admin:
        await admin.execute("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+ping", "+client")
    url = urlunsplit(parts._replace(netloc=f"reader:pw@{parts.hostname}:{parts.port}"))
    async with open_redis(RedisSettings(url, command_timeout=2.0)) as reader:
        assert await reader.execute("GET", "k") is None
        with pytest.raises(RedisCommandError) as caught:
            await reader.execute("SET", "k", "v")
        assert caught.value.code == "NOPERM"


async def test_closing_while_the_server_hangs_does_not_wait_for_it(server: Server) -> None:
    with server.frozen():
        async with asyncio.timeout(10), open_redis(RedisSettings(server.url, connect_timeout=0.2)) as redis:
            asked = asyncio.ensure_future(redis.ping())
            await asyncio.sleep(0)
        with pytest.raises(RedisUnavailable):
            await asked
