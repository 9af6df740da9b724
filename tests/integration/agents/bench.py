"""A database with its queue: submit to it, and see what a run left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from sba_agents import ExecutionSettings, LeaseTimes, submit_run
from sba_agents.events import TERMINAL
from sba_db import agent_runs, agent_steps, run_events
from sba_db.database import Database
from sba_db.errors import DatabaseUnavailable
from sba_db.models import AgentRun, AgentStep, RunEvent
from tests.fixtures.databases import Tenant, Urls

QUICK = ExecutionSettings(lease=LeaseTimes(ttl=1.0, interval=0.2), run_timeout=20.0)
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Left:
    """What a run has left in the database."""

    run: AgentRun
    steps: list[AgentStep]
    events: list[RunEvent]

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def check_consistent(self) -> None:
        assert [event.seq for event in self.events] == list(range(1, len(self.events) + 1))
        assert [step.seq for step in self.steps] == list(range(1, len(self.steps) + 1))
        assert len({step.name for step in self.steps}) == len(self.steps)
        ends = [kind for kind in self.types if kind in TERMINAL]
        assert ends == ([f"run.{self.run.status}"] if self.run.status.finished else [])


class Bench:
    """Submits runs of the first tenant and looks at what became of them."""

    def __init__(self, database: Database, urls: Urls, tenant: Tenant) -> None:
        self.database = database
        self.urls = urls
        self.tenant = tenant

    async def submit(self, prompt: str = "hello", **more: Any) -> UUID:
        async with self.database.tenant(self.tenant.id) as session:
            return (await submit_run(session, user_id=self.tenant.user, prompt=prompt, **more)).id

    async def cancel(self, run_id: UUID) -> None:
        async with self.database.tenant(self.tenant.id) as session:
            await agent_runs.cancel_run(session, run_id=run_id)
            await run_events.append_event(session, run_id=run_id, type="run.cancelled", data={})

    async def left(self, run_id: UUID) -> Left:
        reader = self.database.reader(self.tenant.id)
        run = await agent_runs.get_run(reader, run_id)
        assert run is not None
        return Left(
            run, await agent_steps.list_steps(reader, run_id), await run_events.read_events(reader, run_id)
        )

    async def ended(self, run_id: UUID) -> Left:
        seen: list[Left] = []

        async def finished() -> bool:
            with suppress(DatabaseUnavailable):
                seen.append(await self.left(run_id))
            return bool(seen) and seen[-1].run.status.finished

        await until(finished)
        seen[-1].check_consistent()
        return seen[-1]

    async def insist(self, prompt: str) -> UUID:
        """Submit as a client does that tries again when its connection is gone."""
        made: list[UUID] = []

        async def submitted() -> bool:
            with suppress(DatabaseUnavailable):
                made.append(await self.submit(prompt, idempotency_key=prompt))
            return bool(made)

        await until(submitted)
        return made[0]

    async def jobs(self) -> list[dict[str, Any]]:
        return await self.query(
            "select * from queue.procrastinate_jobs where queue_name = 'runs' order by id"
        )

    async def query(self, statement: str, *params: Any) -> list[dict[str, Any]]:
        connecting = psycopg.AsyncConnection.connect(self.urls.admin, autocommit=True, row_factory=dict_row)
        async with await connecting as connection:
            cursor = await connection.execute(statement, params)
            return await cursor.fetchall() if cursor.description else []


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something has become true."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.02)
