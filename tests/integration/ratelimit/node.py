"""A process of its own: `node.py URL SKEW ADMIT SECONDS` or `node.py URL SKEW HOLD TTL`."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from sba_ratelimit import Concurrency, Limit, Limiter
from sba_resilience.redis import RedisSettings, open_redis

LIMITS = {
    "bucket": Limit(200, per=1, key=("tenant", "t"), name="bucket", burst=20),
    "window": Limit(40, per=0.5, key=("tenant", "t"), name="window", algorithm="sliding_window"),
    "quota": Limit(60, per=3600, key=("tenant", "t"), name="quota", algorithm="sliding_window"),
    "burst": Limit(70, per=3600, key=("tenant", "t"), name="burst"),
}
PLACES = Concurrency(1, key=("tenant", "t"), name="places")


async def admit(limiter: Limiter, seconds: float) -> None:
    """Ask as fast as possible; print when each admission was asked for and answered."""
    admitted: dict[str, list[tuple[float, float]]] = {name: [] for name in LIMITS}
    end = time.monotonic() + seconds

    async def ask(name: str) -> None:
        while time.monotonic() < end:
            sent = time.monotonic()
            decision = await limiter.check([LIMITS[name]])
            assert not decision.outage
            if decision.allowed:
                admitted[name].append((sent, time.monotonic()))
            await asyncio.sleep(0)

    await asyncio.gather(*(ask(name) for name in LIMITS for _ in range(4)))
    print(json.dumps(admitted))  # noqa: T201 - read by the test


async def hold(limiter: Limiter, ttl: float) -> None:
    """Take the only place and keep it until killed."""
    places = Concurrency(PLACES.count, key=PLACES.key, name=PLACES.name, ttl=ttl)
    async with limiter.hold([places]) as held:
        print(json.dumps(held.allowed), flush=True)  # noqa: T201 - read by the test
        await asyncio.Event().wait()


async def main(url: str, skew: float, task: str, figure: float) -> None:
    """Run one task on a clock that is wrong by `skew` seconds."""
    async with open_redis(RedisSettings(url, command_timeout=5.0)) as redis:
        limiter = Limiter(redis, clock=lambda: time.monotonic() + skew)
        await {"ADMIT": admit, "HOLD": hold}[task](limiter, figure)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
