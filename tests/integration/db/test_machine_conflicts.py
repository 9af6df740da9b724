"""Many workers at once over few runs, with cancellations and takeovers: each run is carried out once."""

from __future__ import annotations

import asyncio
import random
import uuid

import pytest

from sba_db import (
    Database,
    DatabaseSettings,
    InvalidTransition,
    Lease,
    LeaseHeld,
    LeaseLost,
    RunStatus,
    TenantSession,
    agent_runs,
    agent_steps,
    open_database,
    usage_metrics,
)
from tests.integration.db.conftest import new_run

RUNS, WORKERS, STEPS = 8, 12, 3
LAPSE = "update service.agent_runs set lease_expires_at = now() where status = 'running'"


class Worker:
    """Claims runs and works on them step by step; each step commits with what it counts."""

    def __init__(self, database: Database, tenant_id: uuid.UUID, seed: int) -> None:
        self.database = database
        self.tenant_id = tenant_id
        self.chance = random.Random(seed)
        self.name = f"w{seed}"

    async def work(self, runs: list[uuid.UUID]) -> None:
        open_runs = list(runs)
        while open_runs:
            run = self.chance.choice(open_runs)
            try:
                lease = await self.claim(run)
                await self.carry_out(lease)
            except (LeaseHeld, LeaseLost):
                await asyncio.sleep(0)
            except InvalidTransition:
                open_runs.remove(run)

    async def claim(self, run: uuid.UUID) -> Lease:
        async def claim(session: TenantSession) -> Lease:
            return await agent_runs.claim_run(session, run_id=run, holder=self.name, ttl_seconds=3600)

        return await self.database.run(self.tenant_id, claim)

    async def carry_out(self, lease: Lease) -> None:
        reader = self.database.reader(self.tenant_id)
        done = {step.name for step in await agent_steps.list_steps(reader, lease.run_id)}
        for name in (f"s{n}" for n in range(STEPS)):
            if name not in done:
                await self.database.run(
                    self.tenant_id, lambda session, name=name: self.step(session, lease, name)
                )

        async def end(session: TenantSession) -> None:
            await agent_runs.complete_run(session, lease=lease, result={"by": self.name}, duration_ms=1)
            await usage_metrics.upsert_metrics(session, metrics={"ended": 1})

        await self.database.run(self.tenant_id, end)

    async def step(self, session: TenantSession, lease: Lease, name: str) -> None:
        """Counts first and writes later, while the lease may be lost: then neither stays."""
        metrics = {"steps": 1, "attempted": 0}
        await usage_metrics.upsert_metrics(session, metrics=metrics)
        await asyncio.sleep(0)
        await agent_steps.append_step(session, lease=lease, kind="k", name=name, input={}, output={})


async def expire(superuser, stop: asyncio.Event) -> int:
    """Lets leases run out again and again, until told to stop."""
    times = 0
    while not stop.is_set() and times < 40:
        await asyncio.to_thread(superuser.execute, LAPSE)
        times += 1
        await asyncio.sleep(0.01)
    return times


@pytest.mark.parametrize("seed", [1, 2])
async def test_runs_that_are_taken_over_again_and_again_end_exactly_once(database_urls, superuser, a, seed):
    configured = DatabaseSettings(url=database_urls.app, pool_timeout=60.0)
    async with open_database(configured) as database, asyncio.timeout(120):
        runs = [(await new_run(database, a)).id for _ in range(RUNS)]
        workers = [Worker(database, a.id, seed * 100 + number) for number in range(WORKERS)]
        stop = asyncio.Event()
        expiring = asyncio.create_task(expire(superuser, stop))
        await asyncio.gather(*(worker.work(runs) for worker in workers))
        stop.set()
        assert await expiring > 0

        page = await agent_runs.list_runs(database.reader(a.id), status=RunStatus.SUCCEEDED)
        assert {run.id for run in page.items} == set(runs)
        for run in runs:
            steps = await agent_steps.list_steps(database.reader(a.id), run)
            assert sorted(step.name for step in steps) == [f"s{n}" for n in range(STEPS)]
            assert [step.seq for step in steps] == list(range(1, STEPS + 1))
        totals = await usage_metrics.total_usage(database.reader(a.id))
        assert (totals["ended"], totals["steps"]) == (RUNS, RUNS * STEPS)
        assert sum(run.attempt for run in page.items) >= RUNS


async def test_a_claim_a_heartbeat_and_a_cancellation_at_once_leave_one_of_them_right(database, a):
    for _ in range(15):
        run = await new_run(database, a)
        lease = await Worker(database, a.id, 1).claim(run.id)

        async def beat(lease: Lease = lease) -> None:
            async with database.tenant(a.id) as session:
                await agent_runs.heartbeat(session, lease=lease, ttl_seconds=60)

        async def end(lease: Lease = lease) -> None:
            async with database.tenant(a.id) as session:
                await agent_runs.complete_run(session, lease=lease, result={}, duration_ms=1)

        async def cancel(run_id: uuid.UUID = run.id) -> None:
            async with database.tenant(a.id) as session:
                await agent_runs.cancel_run(session, run_id=run_id)

        results = await asyncio.gather(beat(), end(), cancel(), return_exceptions=True)
        ended = await agent_runs.get_run(database.reader(a.id), run.id)
        assert ended
        completed = results[1] is None
        assert ended.status is (RunStatus.SUCCEEDED if completed else RunStatus.CANCELLED)
        assert isinstance(results[2], InvalidTransition) if completed else isinstance(results[1], LeaseLost)
