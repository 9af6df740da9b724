"""A tool call is stored when it starts and finished once, by whoever may."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import psycopg
import pytest

from sba_db import (
    AccessDenied,
    ConstraintViolated,
    InvalidValue,
    LeaseLost,
    PayloadTooLarge,
    RunNotFound,
    ToolCallEnded,
    ToolCallNotFound,
    ToolCallStatus,
    agent_runs,
    agent_steps,
    tool_calls,
)
from tests.integration.db.conftest import claim, new_run, until_someone_waits_for_a_lock

ENDED = {"status": "succeeded", "duration_ms": 3}


@pytest.fixture
async def lease(database, a):
    return await claim(database, a, (await new_run(database, a)).id)


async def start(database, tenant, **fields):
    async with database.tenant(tenant.id) as session:
        return await tool_calls.start_tool_call(session, **{"name": "t", "arguments": {"q": 1}, **fields})


async def finish(database, tenant, call_id, **fields):
    async with database.tenant(tenant.id) as session:
        return await tool_calls.finish_tool_call(session, call_id=call_id, **{**ENDED, **fields})


async def listed(database, tenant, run_id):
    return await tool_calls.list_tool_calls(database.reader(tenant.id), run_id)


async def test_a_call_starts_and_ends_under_a_lease(database, a, lease):
    started = await start(database, a, lease=lease, user_id=a.user)
    assert await listed(database, a, lease.run_id) == [started]
    async with database.tenant(a.id) as session:
        step = await agent_steps.append_step(session, lease=lease, kind="k", input={}, output={})
    ended = await finish(database, a, started.id, lease=lease, result=[1], step_id=step.id)

    assert (started.status, started.run_id, started.attempt) == ("running", lease.run_id, lease.attempt)
    assert (started.result, started.duration_ms, started.finished_at) == (None, None, None)
    assert await listed(database, a, lease.run_id) == [ended]
    assert (ended.id, ended.status, ended.result, ended.step_id) == (started.id, "succeeded", [1], step.id)
    assert (ended.name, ended.arguments, ended.user_id, ended.duration_ms) == ("t", {"q": 1}, a.user, 3)
    assert ended.created_at == started.created_at < ended.finished_at


async def test_a_call_of_a_user_needs_no_lease_and_outlives_the_run(database, a, lease):
    for_run = await start(database, a, run_id=lease.run_id, user_id=a.user)
    alone = await start(database, a, user_id=a.user)
    async with database.tenant(a.id) as session:
        await agent_runs.complete_run(session, lease=lease, result={}, duration_ms=1)
    failed = await finish(database, a, for_run.id, status=ToolCallStatus.FAILED, error={"code": "x"})
    done = await finish(database, a, alone.id)

    assert (failed.status, failed.error, failed.attempt) == ("failed", {"code": "x"}, None)
    assert (done.status, done.run_id, done.result) == ("succeeded", None, None)


async def test_a_call_that_is_logged_as_a_whole_has_ended(database, a, lease):
    async with database.tenant(a.id) as session:
        call = await tool_calls.log_tool_call(session, name="t", arguments={}, lease=lease, **ENDED)

    assert (call.attempt, call.finished_at) == (lease.attempt, call.created_at)
    with pytest.raises(ToolCallEnded) as refused:
        await finish(database, a, call.id, lease=lease)
    assert (refused.value.call_id, refused.value.status) == (call.id, "succeeded")


async def test_how_a_call_ended_is_said_once(database, a, lease):
    for fields in ({"lease": lease}, {}):
        call = await start(database, a, **fields)
        await finish(database, a, call.id, **fields, result={"first": True})
        with pytest.raises(ToolCallEnded, match="succeeded"):
            await finish(database, a, call.id, **fields, result={"first": False})
        with pytest.raises(ToolCallEnded):
            await finish(database, a, call.id, **fields, status="failed", error={})

    (call,) = await listed(database, a, lease.run_id)
    assert call.result == {"first": True}


async def test_of_many_that_finish_a_call_at_once_one_does(database, a, lease):
    call = await start(database, a, lease=lease)
    results = await asyncio.gather(
        *(finish(database, a, call.id, lease=lease, result=n) for n in range(8)), return_exceptions=True
    )

    (winner,) = [one for one in results if not isinstance(one, BaseException)]
    assert sum(isinstance(one, ToolCallEnded) for one in results) == 7
    assert (await listed(database, a, lease.run_id))[0].result == winner.result


async def test_a_call_is_finished_by_nobody_else(database, a, b, lease):
    other = await claim(database, a, (await new_run(database, a)).id)
    leased, alone = await start(database, a, lease=lease), await start(database, a)

    for tenant, call, fields in (
        (b, leased, {}),
        (b, alone, {}),
        (a, leased, {}),
        (a, leased, {"lease": other}),
        (a, alone, {"lease": lease}),
    ):
        with pytest.raises(ToolCallNotFound) as refused:
            await finish(database, tenant, call.id, **fields)
        assert refused.value.call_id == call.id
    with pytest.raises(ToolCallNotFound):
        await finish(database, a, uuid.uuid4())
    assert [call.status for call in await listed(database, a, lease.run_id)] == ["running"]


async def test_a_call_for_an_unknown_run_or_anothers_step_is_refused(database, a, lease):
    with pytest.raises(RunNotFound):
        await start(database, a, run_id=uuid.uuid4())
    other = await claim(database, a, (await new_run(database, a)).id)
    async with database.tenant(a.id) as session:
        step = await agent_steps.append_step(session, lease=other, kind="k", input={}, output={})
    call = await start(database, a, lease=lease)
    for step_id in (step.id, uuid.uuid4()):
        with pytest.raises(ConstraintViolated, match="step_id_fkey"):
            await finish(database, a, call.id, lease=lease, step_id=step_id)
    with pytest.raises(ConstraintViolated, match="step_of_run"):
        await finish(database, a, (await start(database, a)).id, step_id=step.id)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"result": "x" * 262_143}, "result"),
        ({"status": "failed", "error": "x" * 17_000}, "error"),
        ({"result": "\0"}, "result"),
        ({"status": "running"}, "status"),
        ({"status": "lost"}, "status"),
        ({"status": "nonsense"}, "status"),
    ],
)
async def test_an_end_that_cannot_be_stored_is_refused_and_the_call_runs_on(
    database, a, lease, fields, field
):
    call = await start(database, a, lease=lease)
    with pytest.raises((PayloadTooLarge, InvalidValue)) as refused:
        await finish(database, a, call.id, lease=lease, **fields)

    assert refused.value.field == field
    assert (await finish(database, a, call.id, lease=lease)).status == "succeeded"


async def test_a_start_over_a_limit_is_refused_naming_the_field(database, a):
    for fields, field in (({"arguments": "x" * 262_143}, "arguments"), ({"name": "n" * 201}, "name")):
        with pytest.raises(PayloadTooLarge) as refused:
            await start(database, a, **fields)
        assert refused.value.field == field


@pytest.mark.parametrize("fields", [{"status": "failed"}, {"error": {"code": "x"}}, {"duration_ms": -1}])
async def test_an_end_that_contradicts_itself_is_refused(database, a, lease, fields):
    call = await start(database, a, lease=lease)
    with pytest.raises(ConstraintViolated):
        await finish(database, a, call.id, lease=lease, **fields)


async def lapse(superuser, run_id):
    superuser.execute("update service.agent_runs set lease_expires_at = now() where id = %s", (run_id,))


async def end(session, lease, how):
    if how == "complete":
        await agent_runs.complete_run(session, lease=lease, result={}, duration_ms=1)
    elif how == "fail":
        await agent_runs.fail_run(session, lease=lease, error={"code": "x"}, duration_ms=1)
    elif how == "cancel":
        await agent_runs.cancel_run(session, run_id=lease.run_id)
    else:
        await agent_runs.claim_run(session, run_id=lease.run_id, holder="new", ttl_seconds=30)


@pytest.mark.parametrize("how", ["complete", "fail", "cancel", "take over"])
async def test_no_call_of_a_lease_runs_on_without_it(database, tenants, superuser, lease, how):
    a, b = tenants
    ended = await start(database, a, lease=lease)
    await finish(database, a, ended.id, lease=lease)
    left, kept = await start(database, a, lease=lease), await start(database, a, run_id=lease.run_id)
    elsewhere = await claim(database, b, (await new_run(database, b)).id)
    foreign = await start(database, b, lease=elsewhere)
    await lapse(superuser, lease.run_id)
    async with database.tenant(a.id) as session:
        await end(session, lease, how)

    calls = {call.id: call for call in await listed(database, a, lease.run_id)}
    assert {call.id: call.status for call in calls.values()} == {
        ended.id: "succeeded",
        left.id: "lost",
        kept.id: "running",
    }
    assert (calls[left.id].result, calls[left.id].error, calls[left.id].duration_ms) == (None, None, None)
    assert calls[left.id].finished_at - calls[left.id].created_at >= timedelta(0)
    assert (await listed(database, b, elsewhere.run_id))[0] == foreign
    with pytest.raises(LeaseLost):
        await finish(database, a, left.id, lease=lease)


async def test_a_lost_call_stays_lost_for_the_next_holder_of_the_run(database, a, superuser, lease):
    left = await start(database, a, lease=lease)
    await lapse(superuser, lease.run_id)
    fresh = await claim(database, a, lease.run_id, holder="new")
    with pytest.raises(ToolCallEnded, match="lost"):
        await finish(database, a, left.id, lease=fresh)
    own = await start(database, a, lease=fresh)
    await finish(database, a, own.id, lease=fresh)

    calls = await listed(database, a, lease.run_id)
    assert [(call.attempt, call.status) for call in calls] == [(1, "lost"), (2, "succeeded")]


@pytest.mark.parametrize("how", ["cancel", "take over"])
async def test_a_call_that_starts_while_the_run_is_taken_away_is_lost_too(database, a, superuser, lease, how):
    await lapse(superuser, lease.run_id)

    async def take_away():
        async with database.tenant(a.id) as session:
            await end(session, lease, how)

    async with database.tenant(a.id) as session:
        await tool_calls.start_tool_call(session, name="t", arguments={}, lease=lease)
        rival = asyncio.create_task(take_away())
        await until_someone_waits_for_a_lock(database)
    await rival

    assert [call.status for call in await listed(database, a, lease.run_id)] == ["lost"]


async def test_a_call_that_ends_while_the_run_is_taken_away_has_ended(database, a, superuser, lease):
    call = await start(database, a, lease=lease)
    await lapse(superuser, lease.run_id)
    async with database.tenant(a.id) as session:
        await tool_calls.finish_tool_call(session, call_id=call.id, lease=lease, **ENDED)
        rival = asyncio.create_task(claim(database, a, lease.run_id, holder="new"))
        await until_someone_waits_for_a_lock(database)
    await rival

    assert [call.status for call in await listed(database, a, lease.run_id)] == ["succeeded"]


async def test_a_heartbeat_a_step_and_the_first_claim_lose_no_call(database, a):
    run = await new_run(database, a)
    early = await start(database, a, run_id=run.id)
    lease = await claim(database, a, run.id)
    call = await start(database, a, lease=lease)
    async with database.tenant(a.id) as session:
        await agent_runs.heartbeat(session, lease=lease, ttl_seconds=5)
        await agent_steps.append_step(session, lease=lease, kind="k", input={}, output={})

    assert await listed(database, a, run.id) == [early, call]


async def test_without_a_filter_of_its_own_an_update_still_reaches_no_other_tenants_call(database, a, b):
    call = await start(database, a)
    unfiltered = (
        "update service.tool_calls set result = '1' where id = %(id)s and %(tenant)s::uuid is not null"
    )
    async with database.tenant(b.id) as session:
        assert await session.execute(unfiltered, {"id": call.id}) == 0

    assert (await finish(database, a, call.id)).status == "succeeded"


SET = "update service.tool_calls set {} where tenant_id = %(tenant)s and id = %(id)s"


@pytest.mark.parametrize(
    "change",
    ["tenant_id = tenant_id", "arguments = '{}'", "name = 'x'", "created_at = now()", "attempt = 2",
     "run_id = null", "user_id = null"],
)  # fmt: skip
async def test_what_was_called_cannot_be_changed(database, a, change):
    call = await start(database, a)
    with pytest.raises(AccessDenied):
        async with database.tenant(a.id) as session:
            await session.execute(SET.format(change), {"id": call.id})


@pytest.mark.parametrize(
    "change", ["status = 'running', finished_at = null", "result = '1'", "step_id = null"]
)
async def test_a_call_that_has_ended_cannot_be_rewritten_by_any_statement(database, a, superuser, change):
    call = await start(database, a)
    await finish(database, a, call.id)
    with pytest.raises(ConstraintViolated) as refused:
        async with database.tenant(a.id) as session:
            await session.execute(SET.format(change), {"id": call.id})

    assert (refused.value.constraint, refused.value.table) == ("tool_calls_final", "tool_calls")
    with pytest.raises(psycopg.errors.CheckViolation):
        superuser.execute(SET.format(change), {"tenant": a.id, "id": call.id})
