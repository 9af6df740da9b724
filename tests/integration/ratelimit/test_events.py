"""Events are limited together on all nodes, with far fewer commands than events."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis import Redis

from sba_ratelimit import CostTooLarge, Limit, Limiter
from sba_ratelimit.events import EventLimiter
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from tests.integration.resilience.faults import eventually

HOUR = 3600
AMPLE = (
    Limit(100_000, per=HOUR, key=("tenant", "t"), name="tenant"),
    Limit(100_000, per=HOUR, key=("tenant", "t", "user", "u"), name="user"),
)


def few(count: int, name: str = "few", **more: object) -> Limit:
    return Limit(count, per=HOUR, key=("tenant", "t"), name=name, **more)  # type: ignore[arg-type]  # options


class Commands:
    """How many scripts the server has been asked to run since the last look."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)
        self._before = self._total()

    def since(self) -> int:
        now = self._total()
        count, self._before = now - self._before, now
        return count

    def close(self) -> None:
        self._redis.close()

    def _total(self) -> int:
        stats = self._redis.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


@pytest.fixture
async def events(limiter: Limiter) -> AsyncIterator[EventLimiter]:
    async with EventLimiter(limiter, block=20) as made:
        yield made


@pytest.fixture
async def commands(redis_url: str, limiter: Limiter) -> AsyncIterator[Commands]:
    await limiter.check([few(1, "warm-up")])
    made = Commands(redis_url)
    yield made
    made.close()


async def admitted(events: EventLimiter, limits: tuple[Limit, ...], tries: int, cost: int = 1) -> int:
    return sum([(await events.take(limits, cost=cost)).allowed for _ in range(tries)])


async def test_one_call_admits_a_block_of_events(events: EventLimiter, commands: Commands) -> None:
    assert await admitted(events, AMPLE, 200) == 200
    assert commands.since() == 10


async def test_a_verdict_is_there_at_once_while_the_block_lasts(events: EventLimiter) -> None:
    assert events.take_now(AMPLE) is None
    assert (await events.take(AMPLE)).allowed
    verdicts = [events.take_now(AMPLE) for _ in range(20)]
    assert [verdict and verdict.allowed for verdict in verdicts] == [True] * 19 + [None]


async def test_events_that_come_together_wait_for_one_call(events: EventLimiter, commands: Commands) -> None:
    verdicts = await asyncio.gather(*(events.take(AMPLE) for _ in range(20)))
    assert all(verdict.allowed for verdict in verdicts)
    assert commands.since() == 1
    await asyncio.gather(*(events.take(AMPLE) for _ in range(1_000)))
    assert commands.since() == 50


async def test_limits_that_overlap_share_what_is_held_of_the_common_one(
    events: EventLimiter, commands: Commands
) -> None:
    users = [(AMPLE[0], Limit(100, per=HOUR, key=("tenant", "t", "user", n), name="user")) for n in range(10)]
    for limits in users:
        assert await admitted(events, limits, 2) == 2
    assert commands.since() == 10
    for limits in users:
        assert await admitted(events, limits, 2) == 2
    assert commands.since() <= 2


async def test_all_units_can_be_had_and_a_denial_costs_no_command(
    events: EventLimiter, commands: Commands
) -> None:
    limits = (few(50), AMPLE[0])
    assert await admitted(events, limits, 50) == 50
    commands.since()
    verdict = await events.take(limits)
    assert not verdict.allowed
    assert not verdict.outage
    assert 60 < verdict.retry_after <= 72
    assert commands.since() <= 2
    assert await admitted(events, limits, 1_000) == 0
    assert commands.since() == 0


async def test_a_denied_limit_takes_nothing_from_the_others(events: EventLimiter, limiter: Limiter) -> None:
    ample = few(100, "ample")
    assert await admitted(events, (few(3), ample), 50) == 3
    assert await admitted(events, (ample,), 200) == 97
    assert await admitted(events, (few(3),), 5) == 0


async def test_what_was_not_used_is_given_back_at_the_end(limiter: Limiter) -> None:
    limit = few(100)
    async with EventLimiter(limiter, block=20) as events:
        await events.take((limit,))
        assert (await limiter.peek([limit])).remaining == 80
    assert (await limiter.peek([limit])).remaining == 99


async def test_what_is_held_for_too_long_is_given_back(limiter: Limiter) -> None:
    limit = few(100)
    async with EventLimiter(limiter, block=20, hold_for=0.05) as events:
        await events.take((limit,))

        async def given_back() -> bool:
            return (await limiter.peek([limit])).remaining == 99

        await eventually(given_back)
        assert events.take_now((limit,)) is None


async def test_units_of_a_sliding_window_come_back_by_time_alone(limiter: Limiter) -> None:
    limit = few(100, algorithm="sliding_window")
    async with EventLimiter(limiter, block=20) as events:
        await events.take((limit,))
    assert (await limiter.peek([limit])).remaining == 80


async def test_memory_is_bounded_and_what_is_forgotten_is_given_back(limiter: Limiter) -> None:
    limits = [few(100, f"n{number}") for number in range(5)]
    async with EventLimiter(limiter, block=20, size=2) as events:
        for limit in limits:
            await events.take((limit,))
        assert [events.take_now((limit,)) is None for limit in limits] == [True] * 3 + [False] * 2

        async def given_back() -> bool:
            return [(await limiter.peek([limit])).remaining for limit in limits] == [99, 99, 99, 80, 80]

        await eventually(given_back)
        assert await admitted(events, tuple(limits), 30) == 30


async def test_events_may_cost_more_than_one_unit_and_more_than_a_block(
    events: EventLimiter, commands: Commands
) -> None:
    assert await admitted(events, (few(100),), 50, cost=7) == 14
    assert await admitted(events, (few(100),), 5, cost=1) == 2
    assert await admitted(events, (few(100, "large"),), 3, cost=40) == 2
    with pytest.raises(CostTooLarge):
        await events.take((few(100),), cost=101)


async def test_nonsense_is_refused(events: EventLimiter, limiter: Limiter) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        await events.take(AMPLE, cost=0)
    assert (await events.take(AMPLE)).allowed
    with pytest.raises(ValueError, match="at least 1"):
        events.take_now(AMPLE, cost=-1)
    with pytest.raises(ValueError, match="different names"):
        await events.take((few(9), few(9)))
    with pytest.raises(ValueError, match="above 0"):
        EventLimiter(limiter, block=0)
    assert (await events.take(())).allowed


async def test_a_shadow_limit_stops_no_event(events: EventLimiter) -> None:
    shadow = few(3, "shadow", shadow=True)
    assert await admitted(events, (few(50), shadow), 60) == 50
    assert (await events.take((few(9, "other"), shadow), cost=5)).allowed


async def test_a_larger_plan_is_not_denied_by_the_smaller_ones_denial(events: EventLimiter) -> None:
    assert await admitted(events, (few(3),), 5) == 3
    assert (await events.take((few(3),))).retry_after > 600
    assert (await events.take((few(1_000),))).retry_after < 4


async def test_a_refund_on_another_node_ends_a_denial_within_about_a_second(
    events: EventLimiter, redis: RedisClient
) -> None:
    limits = (few(3),)
    assert await admitted(events, limits, 5) == 3
    await Limiter(redis).reset(limits)

    async def heard() -> bool:
        return (await events.take(limits)).allowed

    await eventually(heard)


async def test_an_event_whose_sender_leaves_while_it_waits_holds_up_nobody(events: EventLimiter) -> None:
    left, stays = (asyncio.create_task(events.take(AMPLE)) for _ in range(2))
    await asyncio.sleep(0)
    left.cancel()
    assert (await stays).allowed
    assert left.cancelled()


async def test_nodes_together_never_admit_more_and_give_back_what_they_do_not_use(redis_url: str) -> None:
    limit = few(200)
    async with AsyncExitStack() as stack:
        nodes = []
        for _ in range(4):
            redis = await stack.enter_async_context(open_redis(RedisSettings(redis_url, command_timeout=2.0)))
            nodes.append(await stack.enter_async_context(EventLimiter(Limiter(redis), block=15)))
        counts = await asyncio.gather(
            *(admitted(node, (limit,), tries) for node, tries in zip(nodes, (90, 20, 20, 150), strict=True))
        )
        for node in nodes:
            await node.aclose()
        left = (await Limiter(redis).peek([limit])).remaining
    assert left is not None
    assert sum(counts) <= 201
    assert abs(sum(counts) + left - 200) <= 1


NODE = """
import asyncio, sys
from sba_ratelimit import Limit, Limiter
from sba_ratelimit.events import EventLimiter
from sba_resilience.redis import RedisSettings, open_redis

async def main(url):
    limit = Limit(500, per=5, key=("tenant", "t"), name="shared")
    async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
        async with EventLimiter(Limiter(redis), block=20, hold_for=0.5) as events:
            print("ready", flush=True)
            sys.stdin.readline()
            end = asyncio.get_running_loop().time() + 2
            while asyncio.get_running_loop().time() < end:
                if (await events.take((limit,))).allowed:
                    sys.stdout.write("x")
                await asyncio.sleep(0)
            print(flush=True)

asyncio.run(main(sys.argv[1]))
"""


def test_processes_together_never_admit_more_even_when_one_of_them_is_killed(redis_url: str) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    nodes = [subprocess.Popen([sys.executable, "-c", NODE, redis_url], **pipes) for _ in range(4)]  # type: ignore[call-overload]  # two pipes
    for node in nodes:
        assert node.stdout.readline() == b"ready\n"
    began = time.monotonic()
    for node in nodes:
        node.stdin.write(b"go\n")
        node.stdin.flush()
    nodes[0].stdout.read(1)
    nodes[0].send_signal(signal.SIGKILL)
    total = sum(node.communicate()[0].count(b"x") for node in nodes)
    allowed = 500 + 100 * (time.monotonic() - began) + 1
    assert 250 < total <= allowed
