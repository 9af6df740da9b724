"""What writes cost: taking a run in, a hundred steps at once; and how soon audit rows are sealed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, LiteralString, TypeAlias
from uuid import UUID, uuid4

import psycopg
from db_stage import Shelf
from db_wire import Wire
from psycopg.rows import dict_row
from stage import as_login

from sba_agents import submit_run
from sba_agents.jobs import WorkerSettings
from sba_db import (
    Database,
    DatabaseSettings,
    Lease,
    TenantSession,
    agent_runs,
    agent_steps,
    audit_logs,
    open_database,
    seals,
)
from sba_db.repositories.agent_steps import NewStep
from sba_supabase.tenant import ENTER_TENANT

STEPS = 100
TIMES = 5  # of each count
WRITERS = 8
LOOK_EVERY = 0.01  # seconds between looks for new seals: what a lag is too long by, at most
SEALS = """
select s.position, s.audit_id from service.audit_seals s
where s.tenant_id = %(tenant)s and s.position > %(after)s order by s.position
"""

Append: TypeAlias = Callable[[TenantSession, Lease], Awaitable[None]]

STEP = NewStep(
    kind="tool",
    name="search",
    input={"query": "return an order bought as a gift", "limit": 5},
    output={"passages": ["Within thirty days, with the receipt."] * 3},
    duration_ms=12,
)


async def round_trip_figures(shelf: Shelf, wire: Wire) -> dict[str, float]:
    """The most round trips that a read, and the submission of a run, took."""
    figures: dict[str, float] = {}
    for form, pooler in (("", False), ("pooler_", True)):
        settings = DatabaseSettings(
            url=wire.through(shelf.app), max_size=1, enter_member=ENTER_TENANT, pooler=pooler
        )
        async with open_database(settings) as database:
            await database.ping()
            figures[f"{form}read_round_trips"] = await most(wire, lambda: read(database, shelf))
            figures[f"{form}create_run_round_trips"] = await most(wire, lambda: submit(database, shelf))
    return figures


async def most(wire: Wire, call: Callable[[], Awaitable[object]]) -> int:
    """The most round trips that one of some calls took."""
    counted = []
    for _ in range(TIMES):
        await wire.count()
        await call()
        counted.append(await wire.count())
    return max(counted)


async def read(database: Database, shelf: Shelf) -> None:
    """A run by its id, for a member."""
    tenant = shelf.tenants[0]
    assert await agent_runs.get_run(database.reader(tenant, member=tenant), shelf.ids[0])


async def submit(database: Database, shelf: Shelf) -> None:
    """A run with an idempotency key, its audit row and its job, for a member."""
    tenant = shelf.tenants[0]
    async with database.tenant(tenant, member=tenant) as session:
        await submit_run(session, user_id=tenant, prompt="hello", idempotency_key=str(uuid4()))


async def append_figures(shelf: Shelf) -> dict[str, float]:
    """A hundred steps of a run in one transaction, one by one and all at once."""
    async with open_database(DatabaseSettings(url=shelf.app, max_size=1)) as database:
        apart, together = 0.0, 0.0
        for _ in range(TIMES):
            apart += await took(database, shelf, one_by_one)
            together += await took(database, shelf, at_once)
    return {"append100_ms": together / TIMES * 1000, "append100_speedup": apart / together}


async def took(database: Database, shelf: Shelf, append: Append) -> float:
    """Seconds to append to a run of its own, the commit included."""
    tenant = shelf.tenants[0]
    async with database.tenant(tenant) as session:
        run = await agent_runs.create_run(session, user_id=tenant, prompt="hello")
        lease = await agent_runs.claim_run(session, run_id=run.id, holder="bench", ttl_seconds=600)
    began = time.perf_counter()
    async with database.tenant(tenant) as session:
        await append(session, lease)
    return time.perf_counter() - began


async def one_by_one(session: TenantSession, lease: Lease) -> None:
    """A statement a step."""
    for _ in range(STEPS):
        await agent_steps.append_step(
            session,
            lease=lease,
            kind=STEP.kind,
            name=STEP.name,
            input=STEP.input,
            output=STEP.output,
            duration_ms=STEP.duration_ms,
        )


async def at_once(session: TenantSession, lease: Lease) -> None:
    """One statement."""
    await agent_steps.append_steps(session, lease=lease, steps=[STEP] * STEPS)


class Sealing:
    """Audit rows of one tenant: when each was committed, and when its seal was first seen."""

    def __init__(self, database: Database, tenant: UUID) -> None:
        self.database = database
        self.tenant = tenant
        self.committed: dict[UUID, float] = {}
        self.seen: dict[UUID, float] = {}
        self._position = 0

    async def write(self, until: float) -> None:
        """One row a transaction, until then."""
        while time.perf_counter() < until:
            async with self.database.tenant(self.tenant) as session:
                row = await audit_logs.write_audit(
                    session, actor_id=None, action="bench", resource_type="run", resource_id="1"
                )
            self.committed[row.id] = time.perf_counter()

    async def look(self) -> None:
        """Take note of the seals that are new."""
        rows = await self.database.reader(self.tenant).fetch_all(SEALS, {"after": self._position})
        now = time.perf_counter()
        for row in rows:
            self._position = row["position"]
            self.seen[row["audit_id"]] = now

    async def watch(self, writing: asyncio.Future[Any]) -> None:
        """Look until every row that was written has its seal."""
        while not writing.done() or self.committed.keys() - self.seen.keys():
            await self.look()
            await asyncio.sleep(LOOK_EVERY)


async def seal_figures(shelf: Shelf, seconds: float) -> dict[str, float]:
    """How long audit rows waited for their seals, with a sealer at work as often as a worker's is."""
    worker = as_login(shelf.admin, "sba_worker", "worker")
    async with (
        open_database(DatabaseSettings(url=shelf.app)) as database,
        await psycopg.AsyncConnection.connect(worker, autocommit=True, row_factory=dict_row) as connection,
    ):
        sealing = Sealing(database, uuid4())
        sealer = asyncio.create_task(seal(connection, WorkerSettings(worker).seal_interval))
        until = time.perf_counter() + seconds
        writing = asyncio.gather(*(sealing.write(until) for _ in range(WRITERS)))
        await sealing.watch(writing)
        sealer.cancel()
        with suppress(asyncio.CancelledError):
            await sealer
    waited = [(sealing.seen[row] - at) * 1000 for row, at in sealing.committed.items()]
    return {"audit_sealed_p50_ms": statistics.median(waited), "audit_sealed_max_ms": max(waited)}


async def seal(connection: psycopg.AsyncConnection[dict[str, Any]], interval: float) -> None:
    """Seal again and again, as a worker does."""

    async def ask(query: LiteralString, **params: Any) -> Mapping[str, Any]:  # noqa: ANN401 - bound values
        row = await (await connection.execute(query, params)).fetchone()
        assert row is not None
        return row

    while True:
        await seals.seal(ask)
        await asyncio.sleep(interval)
