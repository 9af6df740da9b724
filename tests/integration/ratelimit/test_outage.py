"""Each limit keeps its policy while Redis is away, and an outage is never a quota."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sba_ratelimit import Decision, Limit, Limiter
from sba_resilience.redis import RedisSettings, RedisUnavailable, open_redis
from tests.integration.resilience.faults import Server, eventually

OPEN = Limit(1, per=60, key=("ip", "a"), name="open", on_outage="open")
CLOSED = Limit(1, per=60, key=("ip", "a"), name="closed", on_outage="closed")
LOCAL = Limit(10, per=60, key=("ip", "a"), name="local", on_outage="local")


@pytest.fixture
async def cut_off(server: Server) -> AsyncIterator[Limiter]:
    """A limiter of one of five nodes whose server is gone."""
    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        yield Limiter(redis, nodes=5, clock=lambda: 1000.0)


async def test_open_admits_without_counting(cut_off: Limiter) -> None:
    for _ in range(20):
        assert await cut_off.check([OPEN]) == Decision(allowed=True, limits=(), outage=True)


async def test_closed_refuses_as_an_outage(cut_off: Limiter) -> None:
    decision = await cut_off.check([OPEN, CLOSED])
    assert not decision.allowed
    assert decision.outage
    assert decision.headers() == [("Retry-After", "1")]


async def test_local_counts_this_nodes_share(cut_off: Limiter) -> None:
    decisions = [await cut_off.check([OPEN, LOCAL]) for _ in range(4)]
    assert [decision.allowed for decision in decisions] == [True, True, False, False]
    assert all(decision.outage for decision in decisions)
    assert decisions[2].headers() == [("Retry-After", "30")]


async def test_a_closed_limit_takes_nothing_from_a_local_one(cut_off: Limiter) -> None:
    for _ in range(5):
        await cut_off.check([LOCAL, CLOSED])
    assert (await cut_off.check([LOCAL], cost=2)).allowed


async def test_peeking_in_an_outage_takes_nothing(cut_off: Limiter) -> None:
    for _ in range(5):
        assert (await cut_off.peek([LOCAL])).remaining == 2


async def test_a_refund_in_an_outage_gives_back_what_was_counted_here_and_says_so(cut_off: Limiter) -> None:
    assert await cut_off.refund([OPEN]) is False
    for _ in range(5):
        assert (await cut_off.check([LOCAL], cost=2)).allowed
        assert await cut_off.refund([LOCAL], cost=2) is False
    assert not (await cut_off.check([LOCAL], cost=2)).remaining


async def test_a_reset_in_an_outage_reaches_what_was_counted_here_and_is_an_error(cut_off: Limiter) -> None:
    assert (await cut_off.check([LOCAL], cost=2)).allowed
    with pytest.raises(RedisUnavailable):
        await cut_off.reset([LOCAL])
    assert (await cut_off.check([LOCAL], cost=2)).allowed


async def test_a_refused_script_is_an_outage_too_and_is_not_logged_at_each_check(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        limiter = Limiter(redis)
        await redis.execute("ACL", "SETUSER", "default", "-evalsha", "-eval")
        for _ in range(5):
            assert (await limiter.check([CLOSED])).outage
            assert not await limiter.refund([CLOSED])
        assert [record.name for record in caplog.records if "NOPERM" in record.getMessage()] == [
            "sba_ratelimit.outage"
        ]
        await redis.execute("ACL", "SETUSER", "default", "+@all")
        assert not (await limiter.check([CLOSED])).outage


async def test_a_full_server_is_an_outage_too(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        limiter = Limiter(redis)
        await redis.execute("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
        assert (await limiter.check([CLOSED])).outage
        assert not await limiter.refund([LOCAL])
        await redis.execute("CONFIG", "SET", "maxmemory", "0")
        assert not (await limiter.check([CLOSED])).outage


async def test_what_was_counted_here_does_not_count_once_redis_is_back(server: Server) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=2.0)) as redis:
        limiter = Limiter(redis)
        await redis.execute("ACL", "SETUSER", "default", "-evalsha", "-eval")
        assert not (await limiter.check([LOCAL], cost=10)).remaining
        assert not (await limiter.check([LOCAL])).allowed
        await redis.execute("ACL", "SETUSER", "default", "+@all")
        assert (await limiter.check([LOCAL])).remaining == 9


async def test_a_frozen_server_never_delays_a_check_for_long_and_counting_resumes(server: Server) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        limiter = Limiter(redis)
        assert not (await limiter.check([OPEN])).outage
        with server.frozen():
            while redis.state == "closed":
                assert (await limiter.check([OPEN])).outage
            assert (await limiter.check([CLOSED])).outage
        await eventually(lambda: redis.state == "closed")

        async def counted() -> bool:
            return not (await limiter.check([OPEN])).outage

        await eventually(counted)
        assert not (await limiter.check([OPEN])).allowed
