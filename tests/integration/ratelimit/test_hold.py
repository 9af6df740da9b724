"""Places held for the time of a block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from sba_ratelimit import Concurrency, Limiter
from sba_resilience.deadline import Deadline
from sba_resilience.errors import DeadlineExceeded
from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, open_redis
from tests.integration.resilience.faults import Server, eventually

TWO = Concurrency(2, key=("tenant", "t"), name="two")
FIVE = Concurrency(5, key=("tenant", "t", "user", "u"), name="five")
QUICK = Concurrency(1, key=("tenant", "t"), name="quick", ttl=0.3)


async def held(redis: RedisClient, limit: Concurrency) -> int:
    count: int = await redis.execute("ZCARD", limit.redis_key)
    return count


async def allowed(limiter: Limiter, limits: Sequence[Concurrency]) -> bool:
    async with limiter.hold(limits) as hold:
        return hold.allowed


async def test_places_are_taken_under_all_limits_or_none(redis: RedisClient, limiter: Limiter) -> None:
    async with limiter.hold([TWO, FIVE]) as one, limiter.hold([FIVE, TWO]) as other:
        assert one.allowed
        assert other.allowed
        async with limiter.hold([FIVE, TWO]) as third:
            assert not third.allowed
            assert third.full == (TWO,)
            assert 0 < third.retry_after <= TWO.ttl
            assert await held(redis, FIVE) == 2
        assert await allowed(limiter, [FIVE])
    assert await held(redis, TWO) == await held(redis, FIVE) == 0


async def test_holds_never_over_admit(redis: RedisClient, limiter: Limiter) -> None:
    inside = most = 0

    async def work() -> bool:
        nonlocal inside, most
        async with limiter.hold([TWO, FIVE]) as hold:
            if hold.allowed:
                inside += 1
                most = max(most, inside)
                await redis.ping()
                inside -= 1
            return hold.allowed

    admitted = await asyncio.gather(*(work() for _ in range(200)))
    assert most == 2
    assert 2 <= sum(admitted) < 200
    assert await held(redis, TWO) == 0


async def test_taking_any_number_of_places_is_one_command(redis: RedisClient, limiter: Limiter) -> None:
    limits = [Concurrency(3, key=("tenant", "t"), name=f"l{n}") for n in range(8)]
    await allowed(limiter, limits)
    await redis.execute("CONFIG", "RESETSTAT")
    await allowed(limiter, limits)
    stats = (await redis.execute("INFO", "commandstats")).decode()
    assert "cmdstat_evalsha:calls=2," in stats


async def test_no_limits_means_allowed_and_misuse_is_refused(limiter: Limiter) -> None:
    assert await allowed(limiter, [])
    with pytest.raises(ValueError, match="different names or keys"):
        limiter.hold([TWO, TWO])
    hold = limiter.hold([TWO])
    async with hold:
        with pytest.raises(RuntimeError, match="once"):
            await hold.__aenter__()


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"ttl": 0.01}, {"ttl": 1e6}, {"key": ()}, {"key": ("a", "")}, {"name": ""}]
)
def test_places_that_cannot_be_kept_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"least|ttl"):
        Concurrency(**({"count": 1, "key": ("k",)} | wrong))


async def test_a_hold_is_renewed_while_it_lasts(redis: RedisClient, limiter: Limiter) -> None:
    async with limiter.hold([QUICK]) as hold:
        _, first = await redis.execute("ZRANGE", QUICK.redis_key, 0, 0, "WITHSCORES")

        async def renewed() -> bool:
            _, ends = await redis.execute("ZRANGE", QUICK.redis_key, 0, 0, "WITHSCORES")
            return float(ends) > float(first) + 2 * QUICK.ttl * 1e6

        await eventually(renewed)
        assert not hold.lost
        assert not await allowed(limiter, [QUICK])


async def test_a_place_taken_away_is_seen_to_be_lost_and_never_taken_back(
    redis: RedisClient, limiter: Limiter
) -> None:
    async with limiter.hold([QUICK, FIVE]) as hold:
        await redis.execute("DEL", QUICK.redis_key)
        async with asyncio.timeout(10):
            await hold.wait_lost()
        assert hold.lost
        assert await held(redis, FIVE) == 0
        async with limiter.hold([QUICK]) as other:
            assert other.allowed
            await hold.__aexit__(None, None, None)
            assert await held(redis, QUICK) == 1


async def test_a_block_that_fails_or_is_cancelled_frees_its_place(
    redis: RedisClient, limiter: Limiter
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with limiter.hold([TWO]):
            _ = 1 / 0
    entered = asyncio.Event()

    async def work() -> None:
        async with limiter.hold([TWO]):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    with pytest.raises(DeadlineExceeded):
        async with Deadline.after(0.05), limiter.hold([TWO]):
            await asyncio.Event().wait()
    assert await held(redis, TWO) == 0


async def test_a_caller_that_leaves_while_asking_leaves_no_place_taken(
    redis: RedisClient, limiter: Limiter
) -> None:
    await allowed(limiter, [TWO])

    async def work() -> None:
        async with limiter.hold([TWO]):
            raise AssertionError("cancelled before")

    task = asyncio.create_task(work())
    while not (await redis.execute("EXISTS", TWO.redis_key) or task.done()):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await eventually(lambda: _none_held(redis))


async def _none_held(redis: RedisClient) -> bool:
    return await held(redis, TWO) == 0


async def test_fewer_places_apply_to_the_next(limiter: Limiter) -> None:
    async with limiter.hold([FIVE]), limiter.hold([FIVE]):
        smaller = Concurrency(1, key=FIVE.key, name=FIVE.name)
        async with limiter.hold([smaller]) as hold:
            assert not hold.allowed
            assert 0 < hold.retry_after <= FIVE.ttl


async def test_damaged_keys_heal(redis: RedisClient, limiter: Limiter) -> None:
    await redis.execute("SET", TWO.redis_key, "text")
    assert await allowed(limiter, [TWO])
    await redis.execute("ZADD", TWO.redis_key, "inf", "a", "1e300", "b", "-5", "c", 10**17, "d")
    assert await allowed(limiter, [TWO])


async def test_a_lease_is_a_secret(limiter: Limiter) -> None:
    async with limiter.hold([TWO]) as hold:
        assert hold._lease is not None
        assert len(hold._lease.secret) >= 20
        assert hold._lease.secret not in repr(hold._lease)


async def test_in_an_outage_each_limit_keeps_its_policy(server: Server) -> None:
    local = Concurrency(4, key=("k",), name="local", on_outage="local")
    closed = Concurrency(4, key=("k",), name="closed", on_outage="closed")
    async with open_redis(RedisSettings(server.url)) as redis:
        server.kill()
        limiter = Limiter(redis, nodes=2)
        async with limiter.hold([TWO, local]) as one, limiter.hold([local]) as other:
            assert (one.allowed, one.outage, one.lost) == (True, True, False)
            assert other.allowed
            async with limiter.hold([local, TWO]) as third:
                assert (third.allowed, third.outage, third.full) == (False, True, (local,))
                assert third.retry_after == 1.0
        assert await allowed(limiter, [local])
        async with limiter.hold([local, closed]) as refused:
            assert (refused.allowed, refused.outage, refused.retry_after) == (False, True, 1.0)
        assert not limiter._places._taken_here


async def test_a_frozen_server_costs_the_place_and_leaves_nothing_behind(server: Server) -> None:
    quick = Concurrency(3, key=("k",), ttl=0.3)
    slow = Concurrency(3, key=("k",), name="slow")
    async with open_redis(RedisSettings(server.url)) as redis:
        limiter = Limiter(redis)
        async with limiter.hold([quick]) as hold:
            async with limiter.hold([slow]) as released_while_frozen:
                assert released_while_frozen.allowed
                server.freeze()
            async with limiter.hold([slow]) as asked_while_frozen:
                assert asked_while_frozen.outage
            async with asyncio.timeout(10):
                await hold.wait_lost()
            assert hold.lost
            server.thaw()

        async def gone() -> bool:
            with contextlib.suppress(RedisUnavailable):
                return await held(redis, slow) + await held(redis, quick) == 0
            return False

        await eventually(gone)


@pytest.mark.parametrize("back", [True, False], ids=["while it could be held", "too late"])
async def test_what_was_asked_without_an_answer_is_released_until_it_has_surely_ended(
    server: Server, *, back: bool
) -> None:
    async with open_redis(RedisSettings(server.url)) as redis:
        limiter = Limiter(redis)
        assert await allowed(limiter, [QUICK])
        leases = limiter._places.leases
        server.freeze()
        async with limiter.hold([QUICK]) as hold:
            assert hold.outage
        assert leases._open
        server.kill()
        if back:
            server.start()
        await eventually(lambda: not leases._open)


async def test_what_was_refused_is_not_asked_to_be_released(redis: RedisClient, limiter: Limiter) -> None:
    await redis.execute("ACL", "SETUSER", "default", "-evalsha", "-eval")
    try:
        async with limiter.hold([QUICK]) as hold:
            assert hold.outage
    finally:
        await redis.execute("ACL", "SETUSER", "default", "+@all")
    assert not limiter._places.leases._open


async def test_one_task_renews_all_holds_and_ends_with_the_last(limiter: Limiter) -> None:
    leases = limiter._places.leases
    async with limiter.hold([QUICK]) as one, limiter.hold([TWO]) as two, limiter.hold([FIVE]):
        task = leases._task
        assert task is not None
        before = (one._lease.valid_until, two._lease.valid_until)
        await eventually(lambda: one._lease.valid_until > before[0])
        assert two._lease.valid_until == before[1]
        assert leases._task is task
    await eventually(task.done)
