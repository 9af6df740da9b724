"""Tool calls against a model of them: none runs on without its lease, none changes once it has ended."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from sba_db import (
    AgentRun,
    Database,
    DatabaseError,
    DatabaseSettings,
    Lease,
    LeaseLost,
    TenantSession,
    ToolCall,
    ToolCallEnded,
    ToolCallNotFound,
    agent_runs,
    open_database,
    tool_calls,
)

LAPSE = "update service.agent_runs set lease_expires_at = now() - interval '1 s' where id = %s"


@dataclass
class Model:
    """A call as it ought to be."""

    lease: Lease | None
    status: str = "running"
    result: object = None


class CallMachine(RuleBasedStateMachine):
    """Calls of leases and of users; runs that end, are cancelled and taken over."""

    leases = Bundle("leases")
    calls = Bundle("calls")

    def __init__(self, runner: asyncio.Runner, database: Database, superuser: psycopg.Connection) -> None:
        super().__init__()
        self.runner, self.database, self.superuser = runner, database, superuser
        self.tenant, self.user = uuid.uuid4(), uuid.uuid4()
        self.held: dict[uuid.UUID, Lease | None] = {}
        self.models: dict[uuid.UUID, Model] = {}

    def do(self, work: Callable[[TenantSession], Awaitable[object]]) -> object:
        try:
            return self.runner.run(self.database.run(self.tenant, work))
        except DatabaseError as error:
            return error

    def holds(self, lease: Lease) -> bool:
        return self.held[lease.run_id] == lease

    def let_go(self, run: uuid.UUID, heir: Lease | None) -> None:
        for model in self.models.values():
            if model.lease and model.lease.run_id == run and model.status == "running":
                model.status = "lost"
        self.held[run] = heir

    def claim(self, run: uuid.UUID) -> object:
        return self.do(
            lambda session: agent_runs.claim_run(session, run_id=run, holder="w", ttl_seconds=3600)
        )

    @rule(target=leases)
    def begin(self) -> object:
        run = self.do(lambda session: agent_runs.create_run(session, user_id=self.user, prompt="p"))
        assert isinstance(run, AgentRun)
        self.held[run.id] = lease = self.claim(run.id)
        return lease

    @rule(target=leases, lease=leases)
    def take_over(self, lease: Lease) -> object:
        if self.held[lease.run_id] is None:
            return multiple()
        self.superuser.execute(LAPSE, (lease.run_id,))
        fresh = self.claim(lease.run_id)
        assert isinstance(fresh, Lease)
        self.let_go(lease.run_id, fresh)
        return fresh

    @rule(lease=leases, how=st.sampled_from(["complete", "fail", "cancel"]))
    def end(self, lease: Lease, how: str) -> None:
        ways = {
            "complete": lambda s: agent_runs.complete_run(s, lease=lease, result={}, duration_ms=1),
            "fail": lambda s: agent_runs.fail_run(s, lease=lease, error={"code": "x"}, duration_ms=1),
            "cancel": lambda s: agent_runs.cancel_run(s, run_id=lease.run_id),
        }
        may = self.held[lease.run_id] is not None if how == "cancel" else self.holds(lease)
        answer = self.do(ways[how])
        if may:
            assert isinstance(answer, AgentRun)
            self.let_go(lease.run_id, None)

    @rule(target=calls, lease=leases, way=st.sampled_from(["lease", "run"]))
    def start(self, lease: Lease, way: str) -> object:
        leased = way == "lease"
        by = {"lease": lease} if leased else {"run_id": lease.run_id}
        answer = self.do(lambda session: tool_calls.start_tool_call(session, name="t", arguments={}, **by))
        if leased and not self.holds(lease):
            assert isinstance(answer, LeaseLost)
            return multiple()
        assert isinstance(answer, ToolCall)
        self.models[answer.id] = Model(lease if leased else None)
        return answer.id

    @rule(call=calls, lease=st.none() | leases, result=st.integers(0, 9))
    def finish(self, call: uuid.UUID, lease: Lease | None, result: int) -> None:
        model = self.models[call]
        answer = self.do(
            lambda session: tool_calls.finish_tool_call(
                session, call_id=call, status="succeeded", duration_ms=1, result=result, lease=lease
            )
        )
        run = model.lease.run_id if model.lease else None
        if lease and not self.holds(lease):
            assert isinstance(answer, LeaseLost)
        elif run != (lease.run_id if lease else None):
            assert isinstance(answer, ToolCallNotFound)
        elif model.status != "running":
            assert isinstance(answer, ToolCallEnded)
            assert answer.status == model.status
        else:
            assert isinstance(answer, ToolCall)
            model.status, model.result = "succeeded", result

    @invariant()
    def every_call_is_as_the_model_says(self) -> None:
        reader = self.database.reader(self.tenant)
        seen = [
            call for run in self.held for call in self.runner.run(tool_calls.list_tool_calls(reader, run))
        ]
        assert {call.id: (call.status, call.result) for call in seen} == {
            call: (model.status, model.result) for call, model in self.models.items()
        }
        for call in seen:
            lease = self.models[call.id].lease
            assert call.attempt == (lease.attempt if lease else None)
            assert call.status != "running" or lease is None or self.holds(lease)


def test_whatever_is_done_in_whatever_order_calls_live_as_the_model_says(database_urls):
    configured = DatabaseSettings(url=database_urls.app, max_size=2, pool_timeout=30.0)
    with (
        asyncio.Runner() as runner,
        psycopg.connect(database_urls.admin, autocommit=True) as superuser,
    ):
        opened = open_database(configured)
        database = runner.run(opened.__aenter__())
        try:
            run_state_machine_as_test(
                lambda: CallMachine(runner, database, superuser),
                settings=settings(
                    max_examples=50,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opened.__aexit__(None, None, None))
