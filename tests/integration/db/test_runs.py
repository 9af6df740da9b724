"""Runs: created once, listed from new to old."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sba_db import (
    CreatedRun,
    IdempotencyConflict,
    InvalidCursor,
    InvalidValue,
    PayloadTooLarge,
    RunStatus,
    TransactionConflict,
    agent_runs,
    run_events,
)
from tests.integration.db.conftest import new_run, until_someone_waits_for_a_lock


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


@pytest.mark.parametrize("change", [{"prompt": "other"}, {"options": {"x": 2}}])
async def test_the_same_key_for_another_request_is_a_conflict(database, a, change):
    await new_run(database, a, options={"x": 1}, idempotency_key="k")

    with pytest.raises(IdempotencyConflict):
        await new_run(database, a, **{"options": {"x": 1}, **change}, idempotency_key="k")


async def test_a_colleagues_same_request_under_the_same_key_is_the_same_run(database, a):
    first = await new_run(database, a, idempotency_key="k")
    again = await new_run(database, a, user_id=uuid.uuid4(), idempotency_key="k")

    assert (again.id, again.user_id, again.replayed) == (first.id, a.user, True)


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
    assert [run.id for run in (await agent_runs.list_runs(reader, status="queued")).items] == [queued.id]
    with pytest.raises(InvalidValue) as refused:
        await agent_runs.list_runs(reader, status="sleeping")
    assert refused.value.field == "status"


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
