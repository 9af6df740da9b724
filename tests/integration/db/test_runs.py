"""Runs: created once, listed from new to old, claimed under a lease, finished once."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sba_db import (
    CreatedRun,
    IdempotencyConflict,
    InvalidCursor,
    InvalidTransition,
    InvalidValue,
    Lease,
    LeaseHeld,
    LeaseLost,
    PayloadTooLarge,
    RunNotFound,
    RunStatus,
    TransactionConflict,
    agent_runs,
    agent_steps,
    run_events,
    tool_calls,
)
from tests.integration.db.conftest import claim, new_run, until_someone_waits_for_a_lock


async def test_a_new_run_is_queued_and_its_first_event_is_there_with_it(database, a):
    created = await new_run(database, a, prompt="¿qué?", options={"k": [1, None, "é"]})
    reader = database.reader(a.id)

    run = await agent_runs.get_run(reader, created.id)
    events = await run_events.read_events(reader, created.id)

    assert run is not None
    assert (run.status, run.prompt, run.options, run.user_id) == (
        RunStatus.QUEUED,
        "¿qué?",
        {"k": [1, None, "é"]},
        a.user,
    )
    assert (run.created_at, run.event_seq) == (created.created_at, 1)
    assert [(one.seq, one.type) for one in events] == [(1, "run.queued")]
    assert not created.replayed


async def test_a_failed_block_leaves_neither_run_nor_event(database, a, superuser):
    async def fail() -> None:
        async with database.tenant(a.id) as session:
            await agent_runs.create_run(session, user_id=a.user, prompt="x", idempotency_key="k")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    for table in ("agent_runs", "run_events", "idempotency_keys"):
        assert superuser.execute(f"select 1 from service.{table}").fetchone() is None


async def test_the_same_key_and_request_answers_the_same_run(database, a):
    first = await new_run(database, a, options={"x": 1, "y": 2}, idempotency_key="k")
    again = await new_run(database, a, options={"y": 2, "x": 1}, idempotency_key="k")

    assert (again.id, again.replayed) == (first.id, True)
    assert len((await agent_runs.list_runs(database.reader(a.id))).items) == 1


@pytest.mark.parametrize("change", [{"prompt": "other"}, {"options": {"x": 2}}, {"user_id": uuid.uuid4()}])
async def test_the_same_key_for_another_request_is_a_conflict(database, a, change):
    await new_run(database, a, options={"x": 1}, idempotency_key="k")

    with pytest.raises(IdempotencyConflict):
        await new_run(database, a, **{"options": {"x": 1}, **change}, idempotency_key="k")


async def test_forty_concurrent_duplicates_make_one_run(database, a):
    runs = await asyncio.gather(*(new_run(database, a, idempotency_key="k") for _ in range(40)))

    assert len({run.id for run in runs}) == 1
    assert sum(not run.replayed for run in runs) == 1
    assert len((await agent_runs.list_runs(database.reader(a.id))).items) == 1


async def test_a_duplicate_waits_for_the_first_and_takes_its_place_if_that_fails(database, a):
    duplicates: list[asyncio.Task[CreatedRun]] = []

    async def fail_while_a_duplicate_waits() -> None:
        async with database.tenant(a.id) as session:
            await agent_runs.create_run(session, user_id=a.user, prompt="hello", idempotency_key="k")
            duplicates.append(asyncio.create_task(new_run(database, a, idempotency_key="k")))
            await until_someone_waits_for_a_lock(database)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_while_a_duplicate_waits()
    run = await duplicates[0]

    assert not run.replayed
    assert [one.id for one in (await agent_runs.list_runs(database.reader(a.id))).items] == [run.id]


async def test_a_key_whose_run_is_gone_asks_for_another_try(database, a, superuser):
    await new_run(database, a, idempotency_key="k")
    superuser.execute("delete from service.agent_runs")

    with pytest.raises(TransactionConflict):
        await new_run(database, a, idempotency_key="k")


async def test_options_with_keys_of_several_kinds_replay_too(database, a):
    first = await new_run(database, a, options={1: "a", "b": 2}, idempotency_key="k")
    again = await new_run(database, a, options={"b": 2, "1": "a"}, idempotency_key="k")

    assert (again.id, again.replayed) == (first.id, True)


async def test_an_expired_key_may_be_used_for_another_request(database, a, superuser):
    first = await new_run(database, a, idempotency_key="k")
    superuser.execute("update service.idempotency_keys set expires_at = now()")

    second = await new_run(database, a, prompt="other", idempotency_key="k")
    again = await new_run(database, a, prompt="other", idempotency_key="k")

    assert second.id != first.id
    assert (again.id, again.replayed) == (second.id, True)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("prompt", {"prompt": "x" * (32 * 1024 + 1)}),
        ("prompt", {"prompt": "é" * (16 * 1024 + 1)}),
        ("options", {"options": {"x": "y" * 16 * 1024}}),
        ("idempotency_key", {"idempotency_key": "k" * 256}),
    ],
)
async def test_what_is_too_large_is_refused_naming_field_limit_and_size(database, a, field, fields):
    with pytest.raises(PayloadTooLarge) as refused:
        await new_run(database, a, **fields)

    assert refused.value.field == field
    assert refused.value.size > refused.value.limit


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("prompt", {"prompt": ""}),
        ("prompt", {"prompt": "a\0b"}),
        ("prompt", {"prompt": "\ud800"}),
        ("options", {"options": {"x": "\0"}}),
        ("options", {"options": {"\0": 1}}),
        ("options", {"options": {"x": float("nan")}}),
        ("options", {"options": {"x": object()}}),
        ("options", {"options": {"x": "\udfff"}}),
        ("options", {"options": [1]}),
        ("idempotency_key", {"idempotency_key": ""}),
    ],
)
async def test_what_cannot_be_stored_is_refused_naming_the_field(database, a, field, fields):
    with pytest.raises(InvalidValue) as refused:
        await new_run(database, a, **fields)

    assert refused.value.field == field


async def test_the_largest_prompt_and_options_fit_and_a_spelled_out_escape_is_text(database, a):
    run = await new_run(
        database, a, prompt="x" * 32 * 1024, options={"x": "\\u0000", "y": "z" * (16 * 1024 - 30)}
    )

    assert run.options["x"] == "\\u0000"


async def test_pages_walk_every_run_once_from_new_to_old(database, a):
    made = [(await new_run(database, a)).id for _ in range(7)]
    reader = database.reader(a.id)
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = await agent_runs.list_runs(reader, limit=3, cursor=cursor)
        seen += [run.id for run in page.items]
        cursor, pages = page.next_cursor, pages + 1

    assert seen == made[::-1]
    assert pages == 3


async def test_a_full_last_page_has_no_cursor(database, a):
    for _ in range(2):
        await new_run(database, a)

    assert (await agent_runs.list_runs(database.reader(a.id), limit=2)).next_cursor is None


async def test_runs_are_listed_by_status(database, a):
    queued = await new_run(database, a)
    cancelled = await new_run(database, a)
    async with database.tenant(a.id) as session:
        await agent_runs.cancel_run(session, run_id=cancelled.id)
    reader = database.reader(a.id)

    assert [run.id for run in (await agent_runs.list_runs(reader, status=RunStatus.QUEUED)).items] == [
        queued.id
    ]
    assert [run.id for run in (await agent_runs.list_runs(reader, status=RunStatus.CANCELLED)).items] == [
        cancelled.id
    ]


async def test_a_cursor_of_another_tenant_shows_nothing_of_it(database, a, b):
    for _ in range(3):
        await new_run(database, a)
        await new_run(database, b)
    foreign = (await agent_runs.list_runs(database.reader(b.id), limit=1)).next_cursor

    page = await agent_runs.list_runs(database.reader(a.id), cursor=foreign)

    assert {run.tenant_id for run in page.items} <= {a.id}


@pytest.mark.parametrize("cursor", ["", "x", "é", "cnVu", "YXVk" + "A" * 22, "run" * 20, "=" * 8, "\0"])
async def test_garbage_is_no_cursor(database, a, cursor):
    with pytest.raises(InvalidCursor):
        await agent_runs.list_runs(database.reader(a.id), cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 201])
async def test_a_limit_out_of_range_is_refused(database, a, limit):
    with pytest.raises(InvalidValue):
        await agent_runs.list_runs(database.reader(a.id), limit=limit)


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
