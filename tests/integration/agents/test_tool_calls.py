"""A tool call is there from its start, ends once, and is lost with whoever made it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from sba_agents import (
    Arguments,
    Calculator,
    Dependencies,
    ExecutionSettings,
    Json,
    LeaseTimes,
    ToolContext,
    ToolRegistry,
    execute_run,
)
from sba_db import ToolCall, ToolCallStatus, tool_calls, usage_metrics
from sba_db.models import RunStatus
from tests.integration.agents.bench import PATIENCE, Bench, Left, until
from tests.integration.agents.conftest import Working
from tests.integration.agents.stand_ins import UsesTool
from tests.integration.agents.test_faults import heard, worker_process

CARRIED_OUT = ["tool.called", "tool.finished", "step.finished"]


class Anything(Arguments):
    """No matter what."""

    password: str = ""
    note: str = ""


class Stuck:
    """Never answers; says when it has begun."""

    name: ClassVar[str] = "stuck"
    description: ClassVar[str] = "Waits for ever."
    Arguments: ClassVar[type[Arguments]] = Anything

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def execute(self, context: ToolContext, arguments: Anything) -> Json:
        self.begun.set()
        await asyncio.Event().wait()
        return {}


class Echo:
    """Gives back what it was given."""

    name: ClassVar[str] = "echo"
    description: ClassVar[str] = "Echoes."
    Arguments: ClassVar[type[Arguments]] = Anything

    async def execute(self, context: ToolContext, arguments: Anything) -> Json:
        return {"said": arguments.note, "nested": [{"session": {"Set-Cookie": arguments.password}}]}


async def calls_of(bench: Bench, left: Left) -> list[ToolCall]:
    return await tool_calls.list_tool_calls(bench.database.reader(bench.tenant.id), left.run.id)


def using(deps: Dependencies, tool: Stuck, **settings: float) -> Dependencies:
    limits = ExecutionSettings(lease=LeaseTimes(ttl=1.0, interval=0.1), **settings)
    return replace(
        deps, runner=UsesTool("stuck", {"note": "x"}), registry=ToolRegistry([tool]), settings=limits
    )


async def executed(bench: Bench, deps: Dependencies, holder: str = "w") -> Left:
    run_id = await bench.submit()
    await execute_run(deps, tenant_id=bench.tenant.id, run_id=run_id, holder=holder)
    return await bench.ended(run_id)


async def test_a_call_is_stored_as_running_before_its_tool_does_anything(
    bench: Bench, deps: Dependencies
) -> None:
    stuck = Stuck()
    run_id = await bench.submit()
    work = execute_run(using(deps, stuck), tenant_id=bench.tenant.id, run_id=run_id, holder="w")
    task = asyncio.create_task(work)
    async with asyncio.timeout(PATIENCE):
        await stuck.begun.wait()
    left = await bench.left(run_id)
    (call,) = await calls_of(bench, left)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (call.name, call.status, call.arguments) == ("stuck", "running", {"note": "x"})
    assert (call.attempt, call.step_id, call.duration_ms, call.finished_at) == (1, None, None, None)
    assert left.steps == []
    assert left.types == ["run.queued", "run.started"]


async def test_a_call_that_ended_says_when_and_as_which_step(bench: Bench, deps: Dependencies) -> None:
    left = await executed(bench, replace(deps, runner=UsesTool("calculator", {"expression": "1+1"})))
    (call,) = await calls_of(bench, left)

    assert (call.status, call.attempt, call.step_id) == ("succeeded", 1, left.steps[0].id)
    assert call.created_at <= call.finished_at
    assert call.duration_ms == left.steps[0].duration_ms
    assert left.types[2:-1] == CARRIED_OUT


async def test_a_killed_workers_call_is_lost_and_the_next_attempt_makes_its_own(
    bench: Bench, working: Working, tmp_path: Path
) -> None:
    run_id = await bench.submit()
    async with worker_process(bench, tmp_path / "journal", "tool_started") as doomed:
        await heard(doomed, "reached tool_started")
        doomed.kill()
        await doomed.wait()
    (before,) = await calls_of(bench, await bench.left(run_id))
    async with working(runner=UsesTool("calculator", {"expression": "1+1"})):
        left = await bench.ended(run_id)
    lost, made = await calls_of(bench, left)

    assert left.run.status is RunStatus.SUCCEEDED
    assert before.status is ToolCallStatus.RUNNING
    assert (lost.id, lost.status, lost.attempt, lost.step_id) == (before.id, "lost", 1, None)
    assert (made.status, made.attempt, made.step_id) == ("succeeded", 2, left.steps[0].id)
    assert left.types[2:-1] == ["run.resumed", *CARRIED_OUT]
    used = await usage_metrics.total_usage(bench.database.reader(bench.tenant.id))
    assert used["tool_calls"] == 1


async def test_a_call_is_lost_when_its_run_is_cancelled(bench: Bench, deps: Dependencies) -> None:
    stuck = Stuck()
    run_id = await bench.submit()
    work = execute_run(using(deps, stuck), tenant_id=bench.tenant.id, run_id=run_id, holder="w")
    task = asyncio.create_task(work)
    async with asyncio.timeout(PATIENCE):
        await stuck.begun.wait()
        await bench.cancel(run_id)
        assert await task is RunStatus.CANCELLED
    (call,) = await calls_of(bench, await bench.left(run_id))

    assert (call.status, call.result, call.error, call.step_id) == ("lost", None, None, None)


async def test_a_call_is_lost_when_its_run_takes_too_long(bench: Bench, deps: Dependencies) -> None:
    left = await executed(bench, using(deps, Stuck(), run_timeout=0.3))
    (call,) = await calls_of(bench, left)

    assert left.run.error["code"] == "timeout"
    assert call.status == "lost"


async def test_a_worker_that_stops_leaves_its_call_to_the_next(bench: Bench, deps: Dependencies) -> None:
    stuck = Stuck()
    run_id = await bench.submit()
    tenant = bench.tenant.id
    task = asyncio.create_task(
        execute_run(using(deps, stuck), tenant_id=tenant, run_id=run_id, holder="first")
    )
    async with asyncio.timeout(PATIENCE):
        await stuck.begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    again = replace(deps, runner=UsesTool("calculator", {"expression": "1+1"}))

    async def taken_over() -> bool:
        return await execute_run(again, tenant_id=tenant, run_id=run_id, holder="second") is not None

    await until(taken_over)
    calls = await calls_of(bench, await bench.ended(run_id))

    assert [(call.name, call.status, call.attempt) for call in calls] == [
        ("stuck", "lost", 1),
        ("calculator", "succeeded", 2),
    ]


async def test_a_tool_that_cannot_be_called_leaves_a_failed_call(bench: Bench, deps: Dependencies) -> None:
    left = await executed(bench, replace(deps, runner=UsesTool("nope", {"a": 1})))
    (call,) = await calls_of(bench, left)

    assert (call.status, call.error["code"], call.arguments) == ("failed", "unknown_tool", {"a": 1})


async def test_arguments_that_cannot_be_stored_end_the_run_before_the_tool_is_called(
    bench: Bench, deps: Dependencies
) -> None:
    runner = UsesTool("calculator", {"expression": "1" * 300_000})
    left = await executed(bench, replace(deps, runner=runner))

    assert left.run.error["code"] == "result_not_storable"
    assert await calls_of(bench, left) == []


async def test_the_log_of_calls_holds_no_secret_while_the_run_works_with_it(
    bench: Bench, deps: Dependencies
) -> None:
    given = {"password": "hunter2-horse", "note": "Bearer abcdefgh12345678"}
    deps = replace(deps, runner=UsesTool("echo", dict(given)), registry=ToolRegistry([Echo(), Calculator()]))
    left = await executed(bench, deps)
    (call,) = await calls_of(bench, left)
    stored = await bench.query("select t::text from service.tool_calls t where run_id = %s", left.run.id)

    assert left.run.result["nested"] == [{"session": {"Set-Cookie": "hunter2-horse"}}]
    assert call.arguments["password"] == "[redacted]"
    assert call.result["nested"] == [{"session": {"Set-Cookie": "[redacted]"}}]
    assert not any(secret in str(stored) for secret in ("hunter2", "abcdefgh12345678"))
