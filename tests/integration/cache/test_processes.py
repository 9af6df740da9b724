"""Several real processes and one cold key: one of them loads, whatever happens to the one that does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from sba_cache import Cache, CacheKey
from sba_resilience.redis import RedisClient
from tests.integration.resilience.faults import eventually

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0
KEY = CacheKey("tenant", "knowledge", "question")


@dataclass
class Process:
    """One process of callers."""

    name: str
    handle: asyncio.subprocess.Process
    heard: list[str] = field(default_factory=list)
    hearing: asyncio.Task[None] | None = None

    @property
    def loading(self) -> bool:
        return "loading" in self.heard

    @property
    def result(self) -> dict[str, Any] | None:
        return json.loads(self.heard[-1]) if self.heard and self.heard[-1].startswith("{") else None

    def say(self, word: str) -> None:
        assert self.handle.stdin is not None
        self.handle.stdin.write(f"{word}\n".encode())

    def signal(self, number: signal.Signals) -> None:
        self.handle.send_signal(number)

    async def hear(self) -> None:
        assert self.handle.stdout is not None
        async for line in self.handle.stdout:
            self.heard.append(line.decode().strip())

    async def finished(self) -> dict[str, Any]:
        await eventually(lambda: self.result is not None, within=PATIENCE)
        assert self.result is not None
        return self.result


@asynccontextmanager
async def processes(url: str, count: int, *, lease: float = 2.0) -> AsyncIterator[list[Process]]:
    """That many processes of fifty callers each, connected and waiting for `go`."""
    started: list[Process] = []
    try:
        for number in range(count):
            order = {"url": url, "name": f"by {number}", "callers": 50, "lease": lease}
            handle = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.integration.cache.caller", json.dumps(order),
                cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            started.append(process := Process(f"by {number}", handle))
            process.hearing = asyncio.create_task(process.hear())
        for process in started:
            await eventually(lambda process=process: "ready" in process.heard, within=PATIENCE)
        yield started
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                process.handle.kill()
            await process.handle.wait()
            if process.hearing is not None:
                await process.hearing


async def the_one_that_loads(running: list[Process]) -> Process:
    await eventually(lambda: any(process.loading for process in running), within=PATIENCE)
    return next(process for process in running if process.loading)


async def kept(cache: Cache) -> str:
    """What the next reader gets."""

    async def absent() -> str:
        return "nothing was kept"

    return await cache.get_or_load(KEY, absent, type=str)


async def test_four_processes_of_fifty_cold_callers_load_once(redis_url: str, cache: Cache) -> None:
    async with processes(redis_url, 4) as running:
        for process in running:
            process.say("go")
        holder = await the_one_that_loads(running)
        holder.say("load")
        results = [await process.finished() for process in running]
    assert sorted(result["loads"] for result in results) == [0, 0, 0, 1]
    assert [result["answers"] for result in results] == [[holder.name]] * 4
    assert await kept(cache) == holder.name


async def test_when_the_loading_process_is_killed_another_takes_over(redis_url: str, cache: Cache) -> None:
    async with processes(redis_url, 4) as running:
        for process in running:
            process.say("go")
        killed = await the_one_that_loads(running)
        killed.signal(signal.SIGKILL)
        others = [process for process in running if process is not killed]
        heir = await the_one_that_loads(others)
        heir.say("load")
        results = [await process.finished() for process in others]
    assert sorted(result["loads"] for result in results) == [0, 0, 1]
    assert [result["answers"] for result in results] == [[heir.name]] * 3
    assert await kept(cache) == heir.name


async def test_a_process_that_lost_its_lease_cannot_overwrite_what_its_heir_stored(
    redis_url: str, cache: Cache
) -> None:
    async with processes(redis_url, 2, lease=0.5) as running:
        for process in running:
            process.say("go")
        frozen = await the_one_that_loads(running)
        frozen.signal(signal.SIGSTOP)
        (heir,) = (process for process in running if process is not frozen)
        await eventually(lambda: heir.loading, within=PATIENCE)
        heir.say("load")
        assert (await heir.finished())["answers"] == [heir.name]
        frozen.signal(signal.SIGCONT)
        frozen.say("load")
        late = await frozen.finished()
    assert late["loads"] == 1
    assert late["answers"] in ([frozen.name], [heir.name])
    assert await kept(cache) == heir.name


async def test_a_slow_process_that_lives_keeps_its_lease(redis_url: str, redis: RedisClient) -> None:
    async with processes(redis_url, 2, lease=0.6) as running, Redis.from_url(redis_url) as observer:
        for process in running:
            process.say("go")
        holder = await the_one_that_loads(running)
        await renewed(observer, times=4)
        holder.say("load")
        results = [await process.finished() for process in running]
    assert sorted(result["loads"] for result in results) == [0, 1]
    assert [result["answers"] for result in results] == [[holder.name]] * 2


async def renewed(observer: Redis, *, times: int) -> None:
    """Wait until the only lease was seen to be prolonged so many times: longer than it lasts by itself."""
    (lease,) = [key async for key in observer.scan_iter("sba:cl:*")]
    seen = [await observer.pttl(lease)]

    async def often_enough() -> bool:
        seen.append(await observer.pttl(lease))
        return sum(later > earlier for earlier, later in itertools.pairwise(seen)) >= times

    await eventually(often_enough, within=PATIENCE)


async def test_when_a_load_fails_another_process_loads(redis_url: str, cache: Cache) -> None:
    async with processes(redis_url, 3) as running:
        for process in running:
            process.say("go")
        failed = await the_one_that_loads(running)
        failed.say("fail")
        others = [process for process in running if process is not failed]
        heir = await the_one_that_loads(others)
        heir.say("load")
        assert (await failed.finished())["answers"] == ["LookupError"]
        results = [await process.finished() for process in others]
    assert [result["answers"] for result in results] == [[heir.name]] * 2
    assert await kept(cache) == heir.name
