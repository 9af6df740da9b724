"""Executing one run: claim it, do its steps once, and end it once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sba_agents import events
from sba_agents.barriers import Barriers, NoBarriers
from sba_agents.context import RunContext
from sba_agents.endings import Ending, end_run, failed, not_storable
from sba_agents.errors import Failed, RunBusy, RunInterrupted
from sba_agents.holding import LeaseTimes, held
from sba_agents.ledger import Ledger
from sba_agents.registry import ToolRegistry, default_registry
from sba_agents.runners.extractive import ExtractiveRunner
from sba_agents.runners.runner import Runner
from sba_agents.tools.tool import Json, ToolContext
from sba_db import agent_runs, agent_steps, run_events
from sba_db.database import Database
from sba_db.errors import (
    DatabaseError,
    DatabaseTimeout,
    DatabaseUnavailable,
    InvalidInput,
    InvalidTransition,
    LeaseHeld,
    LeaseLost,
    RunNotFound,
    TransactionConflict,
)
from sba_db.models import AgentRun, Lease, RunEvent, RunStatus
from sba_db.sessions import TenantSession
from sba_telemetry import metrics
from sba_telemetry.logs import get_logger

if TYPE_CHECKING:
    from sba_resilience.redis import RedisClient

AT_ONCE: Final = 1e-6
INFRASTRUCTURE: Final = (DatabaseUnavailable, DatabaseTimeout, TransactionConflict)

_log = get_logger(__name__)
_runs = metrics.counter("sba.agents.runs", description="Runs that ended, by status")
_duration = metrics.histogram("sba.agents.run.duration", unit="s", description="Time of a run's last attempt")


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """Limits of one execution.

    Attributes:
        lease: How long a run is held without a sign of life.
        run_timeout: Seconds one attempt may take; then the run fails with code `timeout`.
        max_attempts: A run that was taken up more often than this fails with code `attempts_exhausted`.
    """

    lease: LeaseTimes = field(default_factory=LeaseTimes)
    run_timeout: float = 120.0
    max_attempts: int = 10


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What an execution works with.

    Attributes:
        database: Opened as `sba_app`.
        redis: Carries events; None where nobody listens.
        registry: The tools.
        runner: How prompts are answered.
        settings: Limits.
        barriers: Where tests stop it.
        clock: Seconds, monotonic.
    """

    database: Database
    redis: RedisClient | None = None
    registry: ToolRegistry = field(default_factory=default_registry)
    runner: Runner = field(default_factory=ExtractiveRunner)
    settings: ExecutionSettings = field(default_factory=ExecutionSettings)
    barriers: Barriers = field(default_factory=NoBarriers)
    clock: Callable[[], float] = time.monotonic


async def execute_run(
    dependencies: Dependencies, *, tenant_id: UUID, run_id: UUID, holder: str
) -> RunStatus | None:
    """Take up a run and carry it to its end.

    Safe to call any number of times, from any number of workers: steps that are committed are not run again,
    and a run ends once.

    Args:
        dependencies: What to work with.
        tenant_id: The run's tenant.
        run_id: The run.
        holder: Unique to this call; who holds the lease.

    Returns:
        The status the run has ended with, in this call or before; None if the tenant has no such run.

    Raises:
        RunBusy: Another execution holds it.
        RunInterrupted: The lease was lost; the run goes on elsewhere or later.
        DatabaseError: Postgres is out of reach; nothing that was committed is lost.
    """
    return await _Execution(dependencies, tenant_id, run_id).go(holder)


class _Execution:
    """One attempt at one run."""

    def __init__(self, dependencies: Dependencies, tenant_id: UUID, run_id: UUID) -> None:
        self._with = dependencies
        self._database = dependencies.database
        self._times = dependencies.settings.lease
        self._tenant_id = tenant_id
        self._run_id = run_id

    async def go(self, holder: str) -> RunStatus | None:
        since = asyncio.get_running_loop().time()
        claimed = await self._claim(holder)
        if claimed is None:
            return await self._ended_before()
        lease, begun = claimed
        try:
            async with held(self._database, lease, self._times, since=since):
                await events.publish(self._with.redis, [begun])
                await self._with.barriers.reach("claimed", self._run_id)
                ending, ended = await self._carry_out(lease)
        except (LeaseLost, InvalidTransition, RunInterrupted):
            return await self._ended_before()
        except (asyncio.CancelledError, *INFRASTRUCTURE):
            await self._give_back(lease)
            raise
        await events.publish(self._with.redis, [ended])
        return ending.status

    async def _claim(self, holder: str) -> tuple[Lease, RunEvent] | None:
        async def claim(session: TenantSession) -> tuple[Lease, RunEvent]:
            lease = await agent_runs.claim_run(
                session, run_id=self._run_id, holder=holder, ttl_seconds=self._times.ttl
            )
            kind = "run.started" if lease.attempt == 1 else "run.resumed"
            event = await run_events.append_event(
                session, run_id=self._run_id, type=kind, data={"attempt": lease.attempt}, lease=lease
            )
            return lease, event

        try:
            return await self._database.run(self._tenant_id, claim)
        except LeaseHeld as error:
            raise RunBusy(error.retry_after) from error
        except (InvalidTransition, RunNotFound):
            return None

    async def _ended_before(self) -> RunStatus | None:
        """The status of a run that is over; whoever ended it may not have lived to say so."""
        reader = self._database.reader(self._tenant_id)
        run = await agent_runs.get_run(reader, self._run_id)
        if run is None:
            return None
        if not run.status.finished:
            raise RunInterrupted(self._times.ttl)
        await events.announce(self._with.redis, reader, self._run_id, after=run.event_seq - 1)
        return run.status

    async def _give_back(self, lease: Lease) -> None:
        """Let the next worker have the run at once instead of after the lease's time."""

        async def lapse(session: TenantSession) -> None:
            await agent_runs.heartbeat(session, lease=lease, ttl_seconds=AT_ONCE)

        with suppress(DatabaseError):
            await self._database.run(self._tenant_id, lapse, idempotent=True)

    async def _carry_out(self, lease: Lease) -> tuple[Ending, RunEvent]:
        started = self._with.clock()
        ending = await self._answer(await self._load(), lease)
        await self._with.barriers.reach("before_completion", self._run_id)
        took = self._with.clock() - started
        try:
            event = await self._end(lease, ending, took)
        except InvalidInput as error:
            ending = not_storable(error)
            event = await self._end(lease, ending, took)
        _runs.add(1, {"status": ending.status.value})
        _duration.record(took, {"status": ending.status.value})
        return ending, event

    async def _load(self) -> AgentRun:
        run = await agent_runs.get_run(self._database.reader(self._tenant_id), self._run_id)
        if run is None:
            raise RunInterrupted(self._times.ttl)
        return run

    async def _answer(self, run: AgentRun, lease: Lease) -> Ending:
        try:
            return Ending(result=await self._within_limits(run, lease))
        except Failed as failure:
            return failed(failure)
        except InvalidInput as error:
            return not_storable(error)
        except (LeaseLost, InvalidTransition, RunInterrupted, *INFRASTRUCTURE):
            raise
        except Exception:  # noqa: BLE001 - whatever it was, the run ends with a reason
            _log.exception("run_broke", attempt=lease.attempt)
            return failed(Failed("internal", "the run broke for a reason of ours"))

    async def _within_limits(self, run: AgentRun, lease: Lease) -> Json:
        settings = self._with.settings
        if lease.attempt > settings.max_attempts:
            raise Failed("attempts_exhausted", f"the run did not finish in {settings.max_attempts} attempts")
        context = await self._context(run, lease)
        limit = asyncio.timeout(settings.run_timeout)
        try:
            async with limit:
                return await self._with.runner.run(context)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Failed("timeout", f"the run took longer than {settings.run_timeout:g} s") from None

    async def _context(self, run: AgentRun, lease: Lease) -> RunContext:
        reader = self._database.reader(self._tenant_id)
        committed = await agent_steps.list_steps(reader, self._run_id)
        ledger = Ledger(self._database, self._with.redis, self._with.barriers, lease, committed)
        tools = ToolContext(reader, user_id=run.user_id, run_id=run.id)
        return RunContext(
            run, ledger=ledger, registry=self._with.registry, tools=tools, clock=self._with.clock
        )

    async def _end(self, lease: Lease, ending: Ending, took: float) -> RunEvent:
        async def end(session: TenantSession) -> RunEvent:
            return await end_run(session, lease, ending, duration_ms=round(took * 1000))

        return await self._database.run(self._tenant_id, end)
