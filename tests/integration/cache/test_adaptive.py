"""The adaptive time to live through the cache on the real server: what one process learnt, others know."""

from __future__ import annotations

import gzip
import importlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sba_cache import Adaptive, Cache, CacheKey, Policy
from sba_resilience.redis import RedisClient, RedisSettings, open_redis

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
KEY = CacheKey("tenant", "knowledge", "question")
STEADY = Policy(jitter=0.0, early=0.0)
EVERY = 20.0  # seconds between reads


@dataclass
class Life:
    """Reads at regular times, by several processes in turn, on a clock that jumps."""

    now: float = 1_700_000_000.0
    caches: list[Cache] = field(default_factory=list)
    revision: int = 0
    loads: int = 0

    async def load(self) -> int:
        self.loads += 1
        return self.revision

    async def reads(self, count: int, *, changing: bool = False, key: CacheKey = KEY) -> int:
        """Loads that so many reads cost."""
        before = self.loads
        for number in range(count):
            self.now += EVERY
            self.revision += changing
            cache = self.caches[number % len(self.caches)]
            await cache.get_or_load(key, self.load, ttl=Adaptive(), type=int, policy=STEADY)
        return self.loads - before


@pytest.fixture
async def life(redis_url: str) -> AsyncIterator[Life]:
    """Two processes, as far as the cache can tell."""
    made = Life()
    settings = RedisSettings(redis_url, command_timeout=5.0)
    async with open_redis(settings) as one, open_redis(settings) as other:
        made.caches = [Cache(redis, clock=lambda: made.now, now=lambda: made.now) for redis in (one, other)]
        yield made


async def test_an_answer_that_stays_the_same_is_loaded_ever_more_rarely(life: Life) -> None:
    spells = [await life.reads(90) for _ in range(4)]
    assert spells == sorted(spells, reverse=True)
    assert spells[-1] < spells[0] / 2


async def test_an_answer_that_keeps_changing_is_loaded_at_almost_every_read(life: Life) -> None:
    await life.reads(100, changing=True)
    assert await life.reads(100, changing=True) > 90


async def test_what_one_process_learnt_a_new_one_knows(life: Life, redis: RedisClient) -> None:
    await life.reads(200)
    life.caches = [Cache(redis, clock=lambda: life.now, now=lambda: life.now)]
    known, unknown = await life.reads(60), await life.reads(60, key=CacheKey("tenant", "knowledge", "other"))
    assert known < unknown / 2


async def test_changes_that_are_announced_do_not_shorten_it(life: Life) -> None:
    quiet, announced = KEY, CacheKey("tenant", "announced", "question")
    await life.reads(200, key=quiet)
    for _ in range(50):
        life.revision += 1
        await life.caches[0].invalidate("tenant", "announced")
        await life.reads(4, key=announced)
    restless = CacheKey("tenant", "restless", "question")
    for _ in range(50):
        life.revision += 1
        await life.reads(4, key=restless)
    assert await life.reads(50, key=announced) < await life.reads(50, key=restless)


def test_the_recorded_trace_is_the_one_its_script_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    zipf = importlib.import_module("zipf")
    assert gzip.decompress(zipf.RECORDED.read_bytes()).decode() == zipf.text_of(zipf.invented())
    assert zipf.text_of(zipf.recorded()) == zipf.text_of(zipf.invented())
