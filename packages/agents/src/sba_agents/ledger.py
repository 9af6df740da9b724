"""The committed steps of a run: what is in it never runs again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sba_agents import events
from sba_agents.barriers import Barriers
from sba_agents.errors import Failed, StepChanged, StepReused
from sba_agents.tools.tool import Json
from sba_db import agent_steps, run_events, tool_calls, usage_metrics
from sba_db.database import Database
from sba_db.models import AgentStep, Lease, RunEvent, StepStatus, ToolCallStatus
from sba_db.sessions import TenantSession

if TYPE_CHECKING:
    from sba_resilience.redis import RedisClient

LONGEST_MESSAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that has been stored as running.

    Attributes:
        id: Which.
        tool: The tool's name.
    """

    id: UUID
    tool: str


@dataclass(frozen=True, slots=True)
class Step:
    """A finished piece of work, before it is committed.

    Attributes:
        name: Unique in its run.
        kind: What sort of work.
        input: What it was asked.
        output: What came out; None if it failed.
        failure: Why it failed; None if it did not.
        duration_ms: How long it took.
        call: The tool call that it was, if it was one.
    """

    name: str
    kind: str
    input: Json
    output: Json | None
    failure: Failed | None
    duration_ms: int
    call: Call | None = None

    @property
    def error(self) -> dict[str, str] | None:
        """The failure as it is stored."""
        return reason(self.failure) if self.failure else None

    @property
    def summary(self) -> dict[str, Any]:
        """What its events say."""
        told = {"step": self.name, "duration_ms": self.duration_ms, "status": self.status.value}
        return {**told, "error": self.error} if self.error else told

    @property
    def status(self) -> StepStatus:
        """Whether it succeeded."""
        return StepStatus.FAILED if self.failure else StepStatus.SUCCEEDED


def reason(failure: Failed) -> dict[str, str]:
    """A failure as it is stored and shown."""
    return {"code": failure.code, "message": failure.message[:LONGEST_MESSAGE]}


class Ledger:
    """The steps of one run, as one lease holder sees and adds to them."""

    def __init__(
        self,
        database: Database,
        redis: RedisClient | None,
        barriers: Barriers,
        lease: Lease,
        committed: Sequence[AgentStep],
    ) -> None:
        self._database = database
        self._redis = redis
        self._barriers = barriers
        self._lease = lease
        self._committed = {step.name: step for step in committed}
        self._begun: set[str] = set()

    def begin(self, name: str, asked: Json) -> AgentStep | None:
        """Start a step, or find that an earlier attempt has committed it.

        Raises:
            StepReused: This attempt has begun a step of that name before.
            StepChanged: The committed step was asked something else.
        """
        if name in self._begun:
            raise StepReused(name)
        self._begun.add(name)
        done = self._committed.get(name)
        if done is not None and _as_stored(asked) != done.input:
            raise StepChanged(name)
        return done

    async def call(self, tool: str, asked: Json, *, user_id: UUID) -> Call:
        """Store a tool call as running, before the tool has done anything; the step's commit finishes it.

        Raises:
            LeaseLost: Another worker holds the run; the tool must not be called.
            InvalidInput: The arguments cannot be stored.
        """

        async def start(session: TenantSession) -> UUID:
            stored = await tool_calls.start_tool_call(
                session, name=tool, arguments=asked, lease=self._lease, user_id=user_id
            )
            return stored.id

        call = Call(await self._database.run(self._lease.tenant_id, start), tool)
        await self._barriers.reach("tool_started", self._lease.run_id)
        return call

    async def commit(self, step: Step) -> None:
        """Write a step, its tool call's end, its events and its usage in one transaction, then carry events.

        Raises:
            LeaseLost: Another worker holds the run; nothing was written.
        """

        async def write(session: TenantSession) -> list[RunEvent]:
            recorded = await self._write(session, step)
            await usage_metrics.upsert_metrics(session, metrics=_usage(step))
            return recorded

        recorded = await self._database.run(self._lease.tenant_id, write)
        await events.publish(self._redis, recorded)
        await self._barriers.reach("step_committed", self._lease.run_id)

    async def _write(self, session: TenantSession, step: Step) -> list[RunEvent]:
        row = await agent_steps.append_step(
            session,
            lease=self._lease,
            kind=step.kind,
            name=step.name,
            input=step.input,
            output=step.output,
            status=step.status,
            error=step.error,
            duration_ms=step.duration_ms,
        )
        if step.call is not None:
            await self._finish(session, step.call, step, row.id)
        return [await self._event(session, kind, data) for kind, data in _told(step, row.seq)]

    async def _finish(self, session: TenantSession, call: Call, step: Step, step_id: UUID) -> None:
        await tool_calls.finish_tool_call(
            session,
            call_id=call.id,
            status=ToolCallStatus(step.status.value),
            duration_ms=step.duration_ms,
            result=step.output,
            error=step.error,
            lease=self._lease,
            step_id=step_id,
        )

    async def _event(self, session: TenantSession, kind: str, data: Mapping[str, Any]) -> RunEvent:
        return await run_events.append_event(
            session, run_id=self._lease.run_id, type=kind, data=data, lease=self._lease
        )


def _told(step: Step, seq: int) -> list[tuple[str, dict[str, Any]]]:
    finished = ("step.finished", {**step.summary, "kind": step.kind, "seq": seq})
    if step.call is None:
        return [finished]
    named = {"tool": step.call.tool}
    called = ("tool.called", {**named, "step": step.name})
    return [called, ("tool.finished", {**named, **step.summary}), finished]


def _usage(step: Step) -> dict[str, int]:
    return {"steps": 1} if step.call is None else {"steps": 1, "tool_calls": 1}


def _as_stored(value: Json) -> Any:  # noqa: ANN401 - whatever JSON makes of it
    return json.loads(json.dumps(value))
