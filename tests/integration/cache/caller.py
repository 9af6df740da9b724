"""A process that asks one question many times at once; a word on standard input ends its load.

Says `ready`, `loading` at every load, and last how often it loaded and which answers its callers got.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import Any

from sba_cache import Cache, CacheKey, CacheSettings
from sba_resilience.redis import RedisClient, RedisSettings, open_redis

KEY = CacheKey("tenant", "knowledge", "question")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@dataclass
class Caller:
    """What this process was told to do, and what it saw."""

    order: dict[str, Any]
    loads: int = 0
    words: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def load(self) -> str:
        self.loads += 1
        say("loading")
        if await self.words.get() == "fail":
            raise LookupError(self.order["name"])
        return str(self.order["name"])

    async def listen(self) -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            self.words.put_nowait(line.strip())

    async def ask(self, redis: RedisClient) -> list[str]:
        cache = Cache(redis, settings=CacheSettings(lease=self.order["lease"]))
        calls = (cache.get_or_load(KEY, self.load, type=str) for _ in range(self.order["callers"]))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        return sorted({answer if isinstance(answer, str) else type(answer).__name__ for answer in answers})


async def main() -> None:
    caller = Caller(json.loads(sys.argv[1]))
    listening = asyncio.create_task(caller.listen())
    async with open_redis(RedisSettings(caller.order["url"], command_timeout=5.0)) as redis:
        await redis.ping()
        say("ready")
        assert await caller.words.get() == "go"
        answers = await caller.ask(redis)
    say(json.dumps({"loads": caller.loads, "answers": answers}))
    listening.cancel()


if __name__ == "__main__":
    asyncio.run(main())
