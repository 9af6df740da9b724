"""The life of runs against a model of it: whatever is done in whatever order, both say the same."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from sba_db import (
    Database,
    DatabaseError,
    DatabaseSettings,
    IdempotencyConflict,
    InvalidTransition,
    Lease,
    LeaseHeld,
    LeaseLost,
    RunNotFound,
    TenantSession,
    agent_runs,
    agent_steps,
    open_database,
    run_events,
)

LAPSE = "update service.agent_runs set lease_expires_at = now() - interval '1 s' where id = %s"
FINISHED = {"succeeded", "failed", "cancelled"}


@dataclass
class Model:
    """A run as it ought to be."""

    prompt: str
    status: str = "queued"
    token: int = 0
    attempt: int = 0
    holder: str | None = None
    lapsed: bool = False
    steps: int = 0
    events: int = 1
    result: object = None
    error: object = None
    leases: list[Lease] = field(default_factory=list)

    def claimable(self) -> bool:
        return self.status == "queued" or (self.status == "running" and self.lapsed)

    def end(self, status: str, *, result: object = None, error: object = None) -> None:
        self.status, self.result, self.error, self.holder = status, result, error, None

    @property
    def seen(self) -> tuple[object, ...]:
        return (
            self.prompt,
            self.status,
            self.token,
            self.attempt,
            self.holder,
            self.steps,
            self.events,
            self.result,
            self.error,
        )


class RunMachine(RuleBasedStateMachine):
    """Claims, heartbeats, steps, endings, takeovers and repetitions, each followed by a comparison."""

    runs = Bundle("runs")
    leases = Bundle("leases")

    def __init__(self, runner: asyncio.Runner, database: Database, superuser: psycopg.Connection) -> None:
        super().__init__()
        self.runner, self.database, self.superuser = runner, database, superuser
        self.tenant, self.other, self.user = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        self.models: dict[uuid.UUID, Model] = {}
        self.keys: dict[str, tuple[str, uuid.UUID]] = {}

    def do(self, work: Callable[[TenantSession], Awaitable[object]], *, tenant: uuid.UUID | None = None):
        """The answer, or the error of ours."""
        try:
            return self.runner.run(self.database.run(tenant or self.tenant, work))
        except DatabaseError as error:
            return error

    def held(self, lease: Lease) -> Model | None:
        model = self.models[lease.run_id]
        return model if model.status == "running" and model.token == lease.token else None

    def leased(self, lease: Lease, work: Callable[[TenantSession], Awaitable[object]]) -> Model | None:
        """Do what takes the lease; the model it changes, if it may."""
        answer, model = self.do(work), self.held(lease)
        assert isinstance(answer, LeaseLost) is (model is None), answer
        assert model is None or not isinstance(answer, DatabaseError), answer
        return model

    @rule(target=runs, prompt=st.sampled_from("pq"), key=st.sampled_from([None, "k1", "k2"]))
    def create(self, prompt: str, key: str | None):
        answer = self.do(
            lambda session: agent_runs.create_run(
                session, user_id=self.user, prompt=prompt, idempotency_key=key
            )
        )
        known = self.keys.get(key) if key else None
        if known and known[0] != prompt:
            assert isinstance(answer, IdempotencyConflict)
            return multiple()
        assert answer.replayed is (known is not None)
        if known:
            assert answer.id == known[1]
            return multiple()
        self.models[answer.id] = Model(prompt)
        if key:
            self.keys[key] = (prompt, answer.id)
        return answer.id

    @rule(target=leases, run=runs, holder=st.sampled_from(["w1", "w2"]))
    def claim(self, run: uuid.UUID, holder: str):
        model = self.models[run]
        answer = self.do(
            lambda session: agent_runs.claim_run(session, run_id=run, holder=holder, ttl_seconds=3600)
        )
        if not model.claimable():
            assert isinstance(answer, InvalidTransition if model.status in FINISHED else LeaseHeld)
            return multiple()
        model.status, model.holder, model.lapsed = "running", holder, False
        model.token, model.attempt = model.token + 1, model.attempt + 1
        assert (answer.token, answer.attempt, answer.holder) == (model.token, model.attempt, holder)
        return answer

    @rule(lease=leases)
    def heartbeat(self, lease: Lease):
        model = self.leased(
            lease, lambda session: agent_runs.heartbeat(session, lease=lease, ttl_seconds=3600)
        )
        if model:
            model.lapsed = False

    @rule(run=runs)
    def lapse(self, run: uuid.UUID):
        if self.models[run].status == "running":
            self.superuser.execute(LAPSE, (run,))
            self.models[run].lapsed = True

    @rule(lease=leases)
    def step(self, lease: Lease):
        model = self.leased(
            lease,
            lambda session: agent_steps.append_step(session, lease=lease, kind="k", input={}, output={}),
        )
        if model:
            model.steps += 1

    @rule(lease=leases)
    def event(self, lease: Lease):
        model = self.leased(
            lease,
            lambda session: run_events.append_event(
                session, run_id=lease.run_id, type="t", data={}, lease=lease
            ),
        )
        if model:
            model.events += 1

    @rule(lease=leases, answer=st.sampled_from([None, {"n": 1}]))
    def complete(self, lease: Lease, answer: object):
        model = self.leased(
            lease,
            lambda session: agent_runs.complete_run(session, lease=lease, result=answer, duration_ms=1),
        )
        if model:
            model.end("succeeded", result=answer)

    @rule(lease=leases)
    def fail(self, lease: Lease):
        error = {"code": "x"}
        model = self.leased(
            lease, lambda session: agent_runs.fail_run(session, lease=lease, error=error, duration_ms=1)
        )
        if model:
            model.end("failed", error=error)

    @rule(lease=consumes(leases))
    def crash_between_a_step_and_the_end(self, lease: Lease):
        async def work(session: TenantSession) -> None:
            await agent_steps.append_step(session, lease=lease, kind="k", input={}, output={})
            await agent_runs.complete_run(session, lease=lease, result={}, duration_ms=1)
            raise RunNotFound(lease.run_id)

        lost = self.held(lease) is None
        assert isinstance(self.do(work), LeaseLost if lost else RunNotFound)

    @rule(run=runs)
    def cancel(self, run: uuid.UUID):
        model = self.models[run]
        answer = self.do(lambda session: agent_runs.cancel_run(session, run_id=run))
        if model.status in {"succeeded", "failed"}:
            assert isinstance(answer, InvalidTransition)
            return
        model.token += model.status != "cancelled"
        model.end("cancelled")
        assert answer.status == "cancelled"

    @rule(run=runs)
    def another_tenant_tries(self, run: uuid.UUID):
        for work in (
            lambda session: agent_runs.cancel_run(session, run_id=run),
            lambda session: agent_runs.claim_run(session, run_id=run, holder="w", ttl_seconds=1),
            lambda session: run_events.append_event(session, run_id=run, type="t", data={}),
        ):
            assert isinstance(self.do(work, tenant=self.other), RunNotFound)

    @invariant()
    def every_run_is_as_the_model_says(self):
        page = self.runner.run(agent_runs.list_runs(self.database.reader(self.tenant), limit=200))
        assert [run.id for run in page.items] == list(reversed(self.models))
        for run in page.items:
            seen = (
                run.prompt,
                run.status,
                run.lease_token,
                run.attempt,
                run.lease_holder,
                run.step_seq,
                run.event_seq,
                run.result,
                run.error,
            )
            assert seen == self.models[run.id].seen

    def teardown(self):
        """The parts agree with the counters, and nothing of it is another tenant's."""
        reader = self.database.reader(self.tenant)
        for run, model in self.models.items():
            steps = self.runner.run(agent_steps.list_steps(reader, run))
            events = self.runner.run(run_events.read_events(reader, run))
            assert [step.seq for step in steps] == list(range(1, model.steps + 1))
            assert [event.seq for event in events] == list(range(1, model.events + 1))
        assert self.runner.run(agent_runs.list_runs(self.database.reader(self.other))).items == ()


def test_whatever_is_done_in_whatever_order_runs_live_as_the_model_says(database_urls):
    configured = DatabaseSettings(url=database_urls.app, max_size=2, pool_timeout=30.0)
    with (
        asyncio.Runner() as runner,
        psycopg.connect(database_urls.admin, autocommit=True) as superuser,
    ):
        opened = open_database(configured)
        database = runner.run(opened.__aenter__())
        try:
            run_state_machine_as_test(
                lambda: RunMachine(runner, database, superuser),
                settings=settings(
                    max_examples=60,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opened.__aexit__(None, None, None))
