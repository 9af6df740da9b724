"""A working day of knowledge questions: the recorded trace, and its replay through the cache.

`python benchmarks/zipf.py [--json FILE]` replays the recorded trace; `--write` makes it anew from its seed.
Questions arrive as a Poisson process and are asked by rank ~ Zipf(1). Each cites documents of its topic, and
topics change at rates from minutes to a month. A read is stale when a cited document has changed since its
answer was made.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import itertools
import json
import math
import random
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from report import publish

from sba_cache import Adaptive, Cache, CacheKey
from sba_local.valkey import EmbeddedValkey
from sba_resilience.redis import RedisSettings, open_redis

RECORDED = Path(__file__).parent / "traces" / "knowledge.json.gz"
SEED = 20261123
HOURS = 8
READS = 30_000
QUESTIONS = 1_000
TOPICS = 30
DOCUMENTS = 25  # of a topic
CITED = 3  # by an answer
CHANGES_EVERY = (600.0, 30 * 86400.0)  # seconds between changes of an answer: the fastest and slowest topic
FIXED = (5.0, 3600.0)  # seconds: the fixed times to live tried
SEARCH_STEPS = 6
PATIENCE = 1.0  # seconds for a refresh in the background: it belongs to the moment of the read
EPOCH = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Trace:
    """What was asked and what changed.

    Attributes:
        cited: Documents an answer depends on, by question.
        changed: When each document changed, in milliseconds, ascending.
        reads: When which question was asked, in milliseconds, ascending.
    """

    cited: Sequence[Sequence[int]]
    changed: Sequence[Sequence[int]]
    reads: Sequence[tuple[int, int]]

    def answer(self, question: int, at: int) -> list[int]:
        """The right answer at a moment: the revisions of the cited documents."""
        return [bisect_right(self.changed[document], at) for document in self.cited[question]]


def invented(seed: int = SEED) -> Trace:
    """A day from a seed."""
    source = random.Random(seed)  # noqa: S311 - a trace that can be made again
    slow, fast = (math.log(1 / (seconds * DOCUMENTS / CITED)) for seconds in reversed(CHANGES_EVERY))
    rates = [math.exp(source.uniform(slow, fast)) for _ in range(TOPICS)]
    topics = [source.randrange(TOPICS) for _ in range(QUESTIONS)]
    return Trace(
        cited=[
            [topic * DOCUMENTS + place for place in sorted(source.sample(range(DOCUMENTS), CITED))]
            for topic in topics
        ],
        changed=[arrivals(source, rates[document // DOCUMENTS]) for document in range(TOPICS * DOCUMENTS)],
        reads=asked(source),
    )


def arrivals(source: random.Random, rate: float) -> list[int]:
    """Milliseconds of a Poisson process that lasts the day."""
    times = itertools.accumulate(iter(lambda: source.expovariate(rate), None))
    return [round(at * 1000) for at in itertools.takewhile(lambda at: at < HOURS * 3600, times)]


def asked(source: random.Random) -> list[tuple[int, int]]:
    """Questions by rank, as they arrive."""
    times = arrivals(source, READS / (HOURS * 3600))
    weights = [1 / rank for rank in range(1, QUESTIONS + 1)]
    return list(zip(times, source.choices(range(QUESTIONS), weights, k=len(times)), strict=True))


def text_of(trace: Trace) -> str:
    """The trace as it is recorded: one JSON document, times as differences."""
    return json.dumps(
        {
            "cited": trace.cited,
            "changed": [differences(times) for times in trace.changed],
            "reads": differences([at for at, _ in trace.reads]),
            "questions": [question for _, question in trace.reads],
        },
        separators=(",", ":"),
    )


def differences(times: Sequence[int]) -> list[int]:
    """Each time less the one before."""
    return [later - earlier for earlier, later in itertools.pairwise((0, *times))]


def recorded(path: Path = RECORDED) -> Trace:
    """The trace in the tree."""
    document = json.loads(gzip.decompress(path.read_bytes()))
    reads = itertools.accumulate(document["reads"])
    return Trace(
        cited=document["cited"],
        changed=[list(itertools.accumulate(times)) for times in document["changed"]],
        reads=list(zip(reads, document["questions"], strict=True)),
    )


@dataclass(slots=True)
class Replay:
    """One pass of a trace; also the clock of the cache it goes through."""

    trace: Trace
    ttl: float | Adaptive
    at: int = 0
    loads: int = 0
    stale: int = 0

    def clock(self) -> float:
        """Seconds, of the moment that is replayed."""
        return EPOCH + self.at / 1000

    @property
    def hit_rate(self) -> float:
        """Reads that cost no load, a load in the background included."""
        return 1 - self.loads / len(self.trace.reads)

    @property
    def staleness(self) -> float:
        """The share of reads whose answer was not the right one at that moment."""
        return self.stale / len(self.trace.reads)

    async def through(self, cache: Cache) -> None:
        """Ask everything in its order, at its moment."""
        tenant, others = uuid4(), asyncio.all_tasks()
        for at, question in self.trace.reads:
            self.at = at
            answer = await self.ask(cache, CacheKey(tenant, "knowledge", question), question)
            self.stale += answer != self.trace.answer(question, at)
            if refreshing := asyncio.all_tasks() - others:
                _, lasting = await asyncio.wait(refreshing, timeout=PATIENCE)
                others |= lasting

    async def ask(self, cache: Cache, key: CacheKey, question: int) -> list[int]:
        """One read."""

        async def load() -> list[int]:
            self.loads += 1
            return self.trace.answer(question, self.at)

        return await cache.get_or_load(key, load, ttl=self.ttl, type=list[int])


async def replayed(url: str, trace: Trace, ttl: float | Adaptive) -> Replay:
    """A pass through a cache of its own, as it ships."""
    replay = Replay(trace, ttl)
    async with open_redis(RedisSettings(url, command_timeout=2.0)) as redis:
        await replay.through(Cache(redis, clock=replay.clock, now=replay.clock))
    return replay


async def measured(url: str, trace: Trace) -> dict[str, float]:
    """Adaptive, and the shortest fixed time to live found that is at least as stale."""
    adaptive = await replayed(url, trace, Adaptive())
    shortest, longest = FIXED
    fixed = await replayed(url, trace, longest)
    for _ in range(SEARCH_STEPS):
        middle = math.sqrt(shortest * longest)
        tried = await replayed(url, trace, middle)
        if tried.staleness < adaptive.staleness:
            shortest = middle
        else:
            longest, fixed = middle, tried
    return {
        "zipf_hit_rate": adaptive.hit_rate,
        "zipf_stale_percent": 100 * adaptive.staleness,
        "zipf_fixed_ttl_hit_rate": fixed.hit_rate,
        "zipf_fixed_ttl_stale_percent": 100 * fixed.staleness,
        "zipf_fixed_ttl_s": longest,
    }


def measure_zipf(url: str) -> dict[str, float]:
    """The figures of the recorded trace on the server at `url`."""
    return asyncio.run(measured(url, recorded()))


def main() -> None:
    """Write the trace, or replay it and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="make the trace anew and end")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    if given.write:
        RECORDED.write_bytes(gzip.compress(text_of(invented()).encode(), mtime=0))
        return
    with tempfile.TemporaryDirectory(prefix="sba-bench-") as directory:
        Path(directory).chmod(0o755)
        with EmbeddedValkey(Path(directory) / "valkey") as valkey:
            publish(measure_zipf(valkey.url), ("redis", "hiredis"), given.json)


if __name__ == "__main__":
    main()
