"""One execution: steps once, an end once, and a reason for every failure."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from sba_agents import (
    Dependencies,
    ExecutionSettings,
    Failed,
    LeaseTimes,
    RunBusy,
    RunContext,
    RunInterrupted,
)
from sba_agents.execution import execute_run
from sba_db import agent_runs, audit_logs, tool_calls, usage_metrics
from sba_db.errors import DatabaseUnavailable
from sba_db.models import RunStatus
from tests.fixtures.databases import Tenant
from tests.integration.agents.bench import Bench, Left, until
from tests.integration.agents.stand_ins import At, Breaks, Forever, StopAt, ThreeSteps, UsesTool

JOB = "test-holder"


async def reached(said: list[str]) -> bool:
    return bool(said)


async def executed(bench: Bench, deps: Dependencies, prompt: str = "hello") -> Left:
    run_id = await bench.submit(prompt)
    await execute_run(deps, tenant_id=bench.tenant.id, run_id=run_id, holder=JOB)
    return await bench.ended(run_id)


async def test_a_run_is_carried_from_queued_to_succeeded(bench: Bench, deps: Dependencies) -> None:
    journal: list[str] = []
    left = await executed(bench, replace(deps, runner=ThreeSteps(journal.append)))
    assert left.run.status is RunStatus.SUCCEEDED
    assert left.run.result == {"steps": ["first", "second", "third"]}
    assert journal == ["first", "second", "third"]
    assert left.types == ["run.queued", "run.started", *["step.finished"] * 3, "run.succeeded"]
    assert [step.output for step in left.steps] == [{"made": name} for name in journal]


async def test_the_calculator_run_leaves_its_tool_call_and_its_usage(
    bench: Bench, deps: Dependencies
) -> None:
    left = await executed(bench, deps, "calculate: 2*(3+4)")
    assert left.run.result == {"answer": "2*(3+4) = 14", "citations": []}
    assert left.types[2:-1] == [
        "step.finished",
        "tool.called",
        "tool.finished",
        "step.finished",
        "step.finished",
    ]
    reader = bench.database.reader(bench.tenant.id)
    (call,) = await tool_calls.list_tool_calls(reader, left.run.id)
    assert (call.name, call.status, call.result) == (
        "calculator",
        "succeeded",
        {"expression": "2*(3+4)", "result": "14"},
    )
    assert call.step_id == left.steps[1].id
    assert call.user_id == bench.tenant.user
    used: dict[str, int] = {}
    for metric in await usage_metrics.list_usage(reader):
        used[metric.metric] = used.get(metric.metric, 0) + int(metric.value)
    assert (used["steps"], used["tool_calls"], used["runs_succeeded"]) == (3, 1, 1)


async def test_the_end_of_a_run_is_audited(bench: Bench, deps: Dependencies) -> None:
    left = await executed(bench, deps, "1+1")
    page = await audit_logs.list_audit(bench.database.reader(bench.tenant.id), limit=10, cursor=None)
    actions = {(entry.action, entry.resource_id) for entry in page.items}
    assert {("run.submitted", str(left.run.id)), ("run.succeeded", str(left.run.id))} <= actions


async def test_a_failing_tool_ends_the_run_with_its_reason(bench: Bench, deps: Dependencies) -> None:
    left = await executed(bench, deps, "calculate: 1/0")
    assert left.run.status is RunStatus.FAILED
    assert left.run.error == {"code": "division_by_zero", "message": "a number cannot be divided by zero"}
    assert left.steps[1].status == "failed"
    (call,) = await tool_calls.list_tool_calls(bench.database.reader(bench.tenant.id), left.run.id)
    assert (call.status, call.error) == ("failed", left.run.error)
    assert left.events[-1].data["error"] == left.run.error


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [("nope", {}, "unknown_tool"), ("calculator", {"wrong": 1}, "invalid_arguments")],
)
async def test_a_tool_used_wrongly_ends_the_run_with_a_reason(
    bench: Bench, deps: Dependencies, tool: str, arguments: dict[str, int], code: str
) -> None:
    left = await executed(bench, replace(deps, runner=UsesTool(tool, dict(arguments))))
    assert left.run.error["code"] == code


async def test_a_runner_may_go_on_after_a_tool_failed(bench: Bench, deps: Dependencies) -> None:
    runner = UsesTool("calculator", {"expression": "1/0"}, forgives=True)
    left = await executed(bench, replace(deps, runner=runner))
    assert left.run.result == {"forgiven": "division_by_zero"}


async def test_a_runner_states_its_own_reason(bench: Bench, deps: Dependencies) -> None:
    left = await executed(bench, replace(deps, runner=Breaks(Failed("no_plan", "nothing fits"))))
    assert left.run.error == {"code": "no_plan", "message": "nothing fits"}


async def test_an_unexpected_fault_shows_no_internals(bench: Bench, deps: Dependencies) -> None:
    fault = RuntimeError("postgresql://sba_app:secret@db/service")
    left = await executed(bench, replace(deps, runner=Breaks(fault)))
    assert left.run.error["code"] == "internal"
    assert "secret" not in str(left)


async def test_a_run_that_takes_too_long_fails_with_timeout(bench: Bench, deps: Dependencies) -> None:
    settings = ExecutionSettings(run_timeout=0.05)
    left = await executed(bench, replace(deps, runner=Forever(), settings=settings))
    assert left.run.error["code"] == "timeout"


async def test_a_runners_own_timeout_error_is_an_internal_fault(bench: Bench, deps: Dependencies) -> None:
    left = await executed(bench, replace(deps, runner=Breaks(TimeoutError())))
    assert left.run.error["code"] == "internal"


async def test_a_result_too_large_to_store_fails_the_run(bench: Bench, deps: Dependencies) -> None:
    class Verbose:
        async def run(self, context: RunContext) -> dict[str, str]:
            async def work() -> dict[str, str]:
                return {"text": "x" * 20_000_000}

            return await context.step("much", kind="work", input={}, run=work)

    left = await executed(bench, replace(deps, runner=Verbose()))
    assert left.run.error["code"] == "result_not_storable"
    assert left.steps == []


async def test_a_result_too_large_to_return_fails_the_run(bench: Bench, deps: Dependencies) -> None:
    class Verbose:
        async def run(self, context: RunContext) -> dict[str, str]:
            return {"text": "x" * 20_000_000}

    left = await executed(bench, replace(deps, runner=Verbose()))
    assert left.run.error["code"] == "result_not_storable"


async def test_a_step_name_used_twice_fails_the_run(bench: Bench, deps: Dependencies) -> None:
    class Twice:
        async def run(self, context: RunContext) -> dict[str, str]:
            async def work() -> dict[str, str]:
                return {}

            await context.step("same", kind="work", input={}, run=work)
            return await context.step("same", kind="work", input={}, run=work)

    left = await executed(bench, replace(deps, runner=Twice()))
    assert left.run.error["code"] == "step_reused"


async def test_a_run_of_another_tenant_does_not_exist(
    bench: Bench, deps: Dependencies, tenants: tuple[Tenant, Tenant]
) -> None:
    run_id = await bench.submit()
    assert await execute_run(deps, tenant_id=tenants[1].id, run_id=run_id, holder=JOB) is None
    assert await execute_run(deps, tenant_id=tenants[1].id, run_id=uuid4(), holder=JOB) is None
    left = await bench.left(run_id)
    assert (left.run.status, left.types) == (RunStatus.QUEUED, ["run.queued"])


async def test_a_finished_run_is_left_as_it_is(bench: Bench, deps: Dependencies) -> None:
    left = await executed(bench, deps, "1+1")
    again = await execute_run(deps, tenant_id=bench.tenant.id, run_id=left.run.id, holder="another")
    assert again is RunStatus.SUCCEEDED
    assert await bench.left(left.run.id) == left


async def test_a_held_run_is_busy_for_as_long_as_its_lease(bench: Bench, deps: Dependencies) -> None:
    run_id = await bench.submit()
    async with bench.database.tenant(bench.tenant.id) as session:
        await agent_runs.claim_run(session, run_id=run_id, holder="somebody", ttl_seconds=7.0)
    with pytest.raises(RunBusy) as caught:
        await execute_run(deps, tenant_id=bench.tenant.id, run_id=run_id, holder=JOB)
    assert 0 < caught.value.retry_after <= 7.0


async def test_the_lease_is_renewed_for_as_long_as_work_goes_on(bench: Bench, deps: Dependencies) -> None:
    runner = Forever()
    times = LeaseTimes(ttl=0.6, interval=0.1)
    settings = ExecutionSettings(lease=times, run_timeout=2.0)
    run_id = await bench.submit()
    going = asyncio.create_task(
        execute_run(
            replace(deps, runner=runner, settings=settings),
            tenant_id=bench.tenant.id,
            run_id=run_id,
            holder=JOB,
        )
    )
    assert await going is RunStatus.FAILED
    left = await bench.ended(run_id)
    assert (left.run.error["code"], left.run.attempt) == ("timeout", 1)


async def test_a_cancelled_run_stops_without_being_overwritten(bench: Bench, deps: Dependencies) -> None:
    runner = Forever()
    run_id = await bench.submit()
    going = asyncio.create_task(
        execute_run(replace(deps, runner=runner), tenant_id=bench.tenant.id, run_id=run_id, holder=JOB)
    )
    await runner.begun.wait()
    await bench.cancel(run_id)
    assert await going is RunStatus.CANCELLED
    left = await bench.ended(run_id)
    assert left.types == ["run.queued", "run.started", "run.cancelled"]


async def test_a_run_cancelled_just_before_its_end_stays_cancelled(bench: Bench, deps: Dependencies) -> None:
    run_id = await bench.submit()

    async def cancel() -> None:
        await bench.cancel(run_id)

    late = replace(deps, barriers=At("before_completion", cancel), runner=ThreeSteps([].append))
    status = await execute_run(late, tenant_id=bench.tenant.id, run_id=run_id, holder=JOB)
    assert status is RunStatus.CANCELLED
    assert (await bench.ended(run_id)).run.result is None


async def test_a_run_cancelled_before_it_was_begun_is_not_begun(bench: Bench, deps: Dependencies) -> None:
    run_id = await bench.submit()
    await bench.cancel(run_id)
    status = await execute_run(deps, tenant_id=bench.tenant.id, run_id=run_id, holder=JOB)
    assert status is RunStatus.CANCELLED
    assert (await bench.ended(run_id)).steps == []


async def test_a_stopped_execution_hands_the_run_back_at_once(bench: Bench, deps: Dependencies) -> None:
    said: list[str] = []
    journal: list[str] = []
    barriers = StopAt("step_committed", said.append)
    settings = ExecutionSettings(lease=LeaseTimes(ttl=60.0, interval=10.0))
    run_id = await bench.submit()
    runner = ThreeSteps(journal.append)
    first = replace(deps, barriers=barriers, runner=runner, settings=settings)
    going = asyncio.create_task(execute_run(first, tenant_id=bench.tenant.id, run_id=run_id, holder="first"))
    await until(lambda: reached(said))
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    second = replace(deps, runner=runner)
    status = await execute_run(second, tenant_id=bench.tenant.id, run_id=run_id, holder="second")
    assert status is RunStatus.SUCCEEDED
    left = await bench.ended(run_id)
    assert journal == ["first", "second", "third"]
    assert left.types.count("run.resumed") == 1


async def test_a_worker_whose_lease_was_taken_over_commits_nothing_more(
    bench: Bench, deps: Dependencies
) -> None:
    run_id = await bench.submit()
    journal: list[str] = []

    async def lose() -> None:
        await bench.query(
            "update service.agent_runs set lease_expires_at = now() - interval '1 s' where id = %s", run_id
        )
        async with bench.database.tenant(bench.tenant.id) as session:
            await agent_runs.claim_run(session, run_id=run_id, holder="thief", ttl_seconds=30.0)

    losing = replace(deps, barriers=At("claimed", lose), runner=ThreeSteps(journal.append))
    with pytest.raises(RunInterrupted):
        await execute_run(losing, tenant_id=bench.tenant.id, run_id=run_id, holder=JOB)
    left = await bench.left(run_id)
    left.check_consistent()
    assert (left.steps, left.run.lease_holder) == ([], "thief")


async def test_a_run_taken_up_too_often_fails(bench: Bench, deps: Dependencies) -> None:
    run_id = await bench.submit()
    await bench.query("update service.agent_runs set attempt = 10 where id = %s", run_id)
    await execute_run(deps, tenant_id=bench.tenant.id, run_id=run_id, holder=JOB)
    assert (await bench.ended(run_id)).run.error["code"] == "attempts_exhausted"


async def test_a_committed_failure_is_replayed_as_the_same_failure(bench: Bench, deps: Dependencies) -> None:
    run_id = await bench.submit("calculate: 1/0")

    async def stop() -> None:
        raise asyncio.CancelledError

    first = replace(deps, barriers=At("before_completion", stop))
    with pytest.raises(asyncio.CancelledError):
        await execute_run(first, tenant_id=bench.tenant.id, run_id=run_id, holder="first")
    await execute_run(deps, tenant_id=bench.tenant.id, run_id=run_id, holder="second")
    left = await bench.ended(run_id)
    assert left.run.error["code"] == "division_by_zero"
    assert len(left.steps) == 2


async def test_a_resumed_runner_that_asks_for_other_work_fails(bench: Bench, deps: Dependencies) -> None:
    class Asks:
        def __init__(self, number: int) -> None:
            self.number = number

        async def run(self, context: RunContext) -> dict[str, str]:
            async def work() -> dict[str, str]:
                return {}

            return await context.step("same", kind="work", input={"number": self.number}, run=work)

    run_id = await bench.submit()

    async def stop() -> None:
        raise asyncio.CancelledError

    first = replace(deps, runner=Asks(1), barriers=At("before_completion", stop))
    with pytest.raises(asyncio.CancelledError):
        await execute_run(first, tenant_id=bench.tenant.id, run_id=run_id, holder="first")
    await execute_run(replace(deps, runner=Asks(2)), tenant_id=bench.tenant.id, run_id=run_id, holder="b")
    assert (await bench.ended(run_id)).run.error["code"] == "step_changed"


async def test_a_run_is_not_failed_for_postgres_going_away(bench: Bench, deps: Dependencies) -> None:
    run_id = await bench.submit()
    broken = replace(deps, runner=Breaks(DatabaseUnavailable()))
    with pytest.raises(DatabaseUnavailable):
        await execute_run(broken, tenant_id=bench.tenant.id, run_id=run_id, holder=JOB)
    assert not (await bench.left(run_id)).run.status.finished
    status = await execute_run(deps, tenant_id=bench.tenant.id, run_id=run_id, holder="next")
    assert status is RunStatus.SUCCEEDED
