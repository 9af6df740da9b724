"""What writes cost: the round trips of taking a run in, and a hundred steps at once against one by one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from uuid import uuid4

from db_stage import Shelf
from db_wire import Wire

from sba_agents import submit_run
from sba_db import Database, DatabaseSettings, Lease, TenantSession, agent_runs, agent_steps, open_database
from sba_db.repositories.agent_steps import NewStep
from sba_supabase.tenant import ENTER_TENANT

STEPS = 100
TIMES = 5  # of each count

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
