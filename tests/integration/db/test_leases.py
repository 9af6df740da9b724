"""Leases: one holder at a time, nothing written under a lost one, a run finished once."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sba_db import (
    InvalidTransition,
    InvalidValue,
    Lease,
    LeaseHeld,
    LeaseLost,
    RunNotFound,
    RunStatus,
    agent_runs,
    agent_steps,
    run_events,
    tool_calls,
)
from tests.integration.db.conftest import claim, new_run, until_someone_waits_for_a_lock


async def test_a_run_goes_from_queued_through_running_to_succeeded(database, a):
    run = await new_run(database, a)
    lease = await claim(database, a, run.id, holder="worker-1")
    running = await agent_runs.get_run(database.reader(a.id), run.id)
    async with database.tenant(a.id) as session:
        done = await agent_runs.complete_run(session, lease=lease, result={"answer": 42}, duration_ms=7)

    assert (lease.token, lease.attempt, lease.holder) == (1, 1, "worker-1")
    assert (running.status, running.lease_holder) == (RunStatus.RUNNING, "worker-1")
    assert (done.status, done.result, done.duration_ms, done.lease_holder) == (
        RunStatus.SUCCEEDED,
        {"answer": 42},
        7,
        None,
    )
    assert done.created_at <= done.started_at <= done.finished_at


async def test_a_run_can_fail_with_a_reason(database, a):
    run = await new_run(database, a)
    lease = await claim(database, a, run.id)
    async with database.tenant(a.id) as session:
        failed = await agent_runs.fail_run(
            session, lease=lease, error={"code": "boom", "message": "m"}, duration_ms=1
        )

    assert (failed.status, failed.error, failed.result) == (
        RunStatus.FAILED,
        {"code": "boom", "message": "m"},
        None,
    )


async def test_a_live_lease_keeps_others_out_and_says_for_how_long(database, a):
    run = await new_run(database, a)
    await claim(database, a, run.id, ttl=30)

    with pytest.raises(LeaseHeld) as held:
        await claim(database, a, run.id)

    assert 0 < held.value.retry_after <= 30


async def test_only_one_of_many_concurrent_claims_wins(database, a):
    run = await new_run(database, a)

    results = await asyncio.gather(
        *(claim(database, a, run.id, holder=str(n)) for n in range(12)), return_exceptions=True
    )

    assert sum(isinstance(one, LeaseHeld) for one in results) == 11


async def test_finished_and_unknown_runs_cannot_be_claimed(database, a):
    run = await new_run(database, a)
    async with database.tenant(a.id) as session:
        await agent_runs.cancel_run(session, run_id=run.id)

    with pytest.raises(InvalidTransition) as refused:
        await claim(database, a, run.id)
    assert refused.value.status == "cancelled"
    with pytest.raises(RunNotFound):
        await claim(database, a, uuid.uuid4())


@pytest.mark.parametrize("ttl", [0, -1, 24 * 3600 + 1, float("nan")])
async def test_a_lease_without_a_sensible_length_is_refused(database, a, ttl):
    run = await new_run(database, a)

    with pytest.raises(InvalidValue):
        await claim(database, a, run.id, ttl=ttl)


async def take_over(database, a, superuser):
    run = await new_run(database, a)
    stale = await claim(database, a, run.id, holder="old")
    superuser.execute("update service.agent_runs set lease_expires_at = now() where id = %s", (run.id,))
    return stale, await claim(database, a, run.id, holder="new")


async def test_a_lease_that_ran_out_can_be_taken_over(database, a, superuser):
    stale, fresh = await take_over(database, a, superuser)

    assert (fresh.token, fresh.attempt) == (stale.token + 1, 2)


LEASED = {
    "heartbeat": lambda s, lease: agent_runs.heartbeat(s, lease=lease, ttl_seconds=5),
    "complete": lambda s, lease: agent_runs.complete_run(s, lease=lease, result={}, duration_ms=1),
    "fail": lambda s, lease: agent_runs.fail_run(s, lease=lease, error={"code": "x"}, duration_ms=1),
    "step": lambda s, lease: agent_steps.append_step(s, lease=lease, kind="k", name="n", input={}, output={}),
    "call": lambda s, lease: tool_calls.log_tool_call(
        s, name="t", arguments={}, status="succeeded", duration_ms=1, lease=lease
    ),
    "started call": lambda s, lease: tool_calls.start_tool_call(s, name="t", arguments={}, lease=lease),
    "event": lambda s, lease: run_events.append_event(s, run_id=lease.run_id, type="x", data={}, lease=lease),
}


def everything(superuser):
    tables = ("agent_runs", "agent_steps", "tool_calls", "run_events")
    return {table: superuser.execute(f"select * from service.{table}").fetchall() for table in tables}


@pytest.mark.parametrize("write", LEASED.values(), ids=LEASED.keys())
async def test_nothing_is_written_under_a_lease_that_was_taken_over(database, a, superuser, write):
    stale, fresh = await take_over(database, a, superuser)
    before = everything(superuser)

    with pytest.raises(LeaseLost) as lost:
        async with database.tenant(a.id) as session:
            await write(session, stale)

    assert lost.value.run_id == stale.run_id
    assert everything(superuser) == before
    async with database.tenant(a.id) as session:
        await write(session, fresh)


@pytest.mark.parametrize("write", LEASED.values(), ids=LEASED.keys())
async def test_nothing_is_written_once_the_run_was_cancelled(database, a, superuser, write):
    run = await new_run(database, a)
    lease = await claim(database, a, run.id)
    async with database.tenant(a.id) as session:
        await agent_runs.cancel_run(session, run_id=run.id)
    before = everything(superuser)

    with pytest.raises(LeaseLost):
        async with database.tenant(a.id) as session:
            await write(session, lease)

    assert everything(superuser) == before


AFTERWARDS = {"heartbeat": LeaseHeld, "complete": InvalidTransition, "fail": InvalidTransition}


@pytest.mark.parametrize("name", LEASED)
async def test_a_takeover_waits_for_a_write_in_progress_and_the_write_stands(database, a, superuser, name):
    run = await new_run(database, a)
    lease = await claim(database, a, run.id)
    superuser.execute("update service.agent_runs set lease_expires_at = now() where id = %s", (run.id,))
    async with database.tenant(a.id) as session:
        await LEASED[name](session, lease)
        rival = asyncio.create_task(claim(database, a, run.id, holder="rival"))
        await until_someone_waits_for_a_lock(database)
        assert not rival.done()
    (outcome,) = await asyncio.gather(rival, return_exceptions=True)

    assert isinstance(outcome, AFTERWARDS.get(name, Lease))
    if isinstance(outcome, Lease):
        assert outcome.token == lease.token + 1


async def test_a_heartbeat_keeps_the_lease(database, a):
    run = await new_run(database, a)
    lease = await claim(database, a, run.id, ttl=1)
    async with database.tenant(a.id) as session:
        await agent_runs.heartbeat(session, lease=lease, ttl_seconds=3600)

    with pytest.raises(LeaseHeld) as held:
        await claim(database, a, run.id)
    assert held.value.retry_after > 3000


async def test_cancelling_twice_is_no_error_and_a_succeeded_run_stays_so(database, a):
    run = await new_run(database, a)
    for _ in range(2):
        async with database.tenant(a.id) as session:
            assert (await agent_runs.cancel_run(session, run_id=run.id)).status is RunStatus.CANCELLED
    done = await new_run(database, a)
    lease = await claim(database, a, done.id)
    async with database.tenant(a.id) as session:
        await agent_runs.complete_run(session, lease=lease, result=None, duration_ms=1)

    with pytest.raises(InvalidTransition):
        async with database.tenant(a.id) as session:
            await agent_runs.cancel_run(session, run_id=done.id)
    with pytest.raises(RunNotFound):
        async with database.tenant(a.id) as session:
            await agent_runs.cancel_run(session, run_id=uuid.uuid4())
