"""Fifty cold callers of one key in a process of their own; they wait for `go` on standard input."""

from __future__ import annotations

import asyncio
import json
import sys

from sba_cache import Cache, CacheKey
from sba_resilience.redis import RedisSettings, open_redis

CALLERS = 50
LOAD_SECONDS = 0.2


async def line() -> str:
    """The next line of standard input."""
    return await asyncio.to_thread(sys.stdin.readline)


async def cold(url: str, question: str) -> None:
    """Ask, and say how often this process loaded."""
    loads = 0

    async def load() -> str:
        nonlocal loads
        loads += 1
        await asyncio.sleep(LOAD_SECONDS)
        return "answer"

    async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
        cache, key = Cache(redis), CacheKey("bench", "cold", question)
        await redis.ping()
        print("ready", flush=True)
        await line()
        answers = await asyncio.gather(*(cache.get_or_load(key, load, type=str) for _ in range(CALLERS)))
    assert answers == ["answer"] * CALLERS
    print(json.dumps(loads), flush=True)


async def main() -> None:
    """The caller process."""
    wanted = json.loads(await line())
    await cold(wanted["url"], wanted["question"])


if __name__ == "__main__":
    asyncio.run(main())
