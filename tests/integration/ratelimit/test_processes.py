"""Real processes with wrong clocks, on one server."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from sba_ratelimit import Limit, Limiter
from sba_resilience.redis import RedisClient
from tests.integration.ratelimit.node import LIMITS, PLACES
from tests.integration.resilience.faults import eventually

NODE = Path(__file__).with_name("node.py")
Admissions = list[tuple[float, float]]


async def start(*words: object) -> Process:
    root = str(Path(__file__).parents[3])
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(NODE), *map(str, words), stdout=PIPE, env={"PYTHONPATH": root}
    )


async def output(process: Process) -> dict[str, Admissions]:
    out, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Admissions] = json.loads(out)
    return found


def surely_within(admissions: Admissions, seconds: float) -> int:
    """The most admissions that the server made within a span, by when each was asked for and answered."""
    return max(
        sum(begin <= sent and answered < begin + seconds for sent, answered in admissions)
        for begin, _ in admissions
    )


def most(limit: Limit, seconds: float) -> int:
    """The bound stated for GCRA: the burst, and what comes back meanwhile."""
    return limit.capacity + math.ceil(seconds * 1e6 / limit.unit) - 1


async def test_four_processes_with_skewed_clocks_never_over_admit(redis_url: str) -> None:
    nodes = [await start(redis_url, skew, "ADMIT", 2.5) for skew in (-10, 0, 3, 10)]
    found = await asyncio.gather(*(output(node) for node in nodes))
    of = {name: [pair for one in found for pair in one[name]] for name in LIMITS}
    assert len(of["quota"]) == 60
    assert len(of["burst"]) == 70
    window = LIMITS["window"]
    assert surely_within(of["window"], window.per) <= window.count < len(of["window"])
    bucket = LIMITS["bucket"]
    for seconds in (0.01, 0.1, 0.5, 2.0):
        assert surely_within(of["bucket"], seconds) <= most(bucket, seconds)
    assert len(of["bucket"]) > bucket.capacity


async def test_the_place_of_a_killed_process_is_free_again(
    redis_url: str, redis: RedisClient, limiter: Limiter
) -> None:
    holder = await start(redis_url, 10, "HOLD", 0.6)
    assert holder.stdout is not None
    assert json.loads(await holder.stdout.readline()) is True
    first = await _ends(redis)

    async def renewed() -> bool:
        async with limiter.hold([PLACES]) as hold:
            assert not hold.allowed
        return await _ends(redis) > first + 600_000

    await eventually(renewed)
    holder.kill()
    await holder.wait()

    async def free() -> bool:
        async with limiter.hold([PLACES]) as hold:
            return hold.allowed

    await eventually(free)


async def _ends(redis: RedisClient) -> float:
    _, ends = await redis.execute("ZRANGE", PLACES.redis_key, 0, 0, "WITHSCORES")
    return float(ends)
