"""Steps appended many at a time: one round trip, numbered as one by one, all or none."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sba_db import (
    DatabaseError,
    InvalidValue,
    LeaseLost,
    PayloadTooLarge,
    StepStatus,
    agent_runs,
    agent_steps,
    new_id,
)
from sba_db.repositories.agent_steps import NewStep
from tests.integration.db.conftest import claim, new_run

STEP = NewStep(kind="think", input={"q": 1}, output={"a": 2})
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('abc{},"\\', max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
STEPS = st.builds(
    NewStep,
    kind=WORDS,
    input=DOCUMENTS,
    output=DOCUMENTS,
    name=st.none() | WORDS,
    status=st.just(StepStatus.SUCCEEDED),
    duration_ms=st.none() | st.integers(0, 2**31 - 1),
)


@pytest.fixture
async def lease(database, a):
    return await claim(database, a, (await new_run(database, a)).id)


async def append(database, tenant, lease, steps):
    async with database.tenant(tenant.id) as session:
        return await agent_steps.append_steps(session, lease=lease, steps=steps)


async def test_many_steps_are_numbered_in_their_order_after_those_before(database, a, lease):
    async with database.tenant(a.id) as session:
        await agent_steps.append_step(session, lease=lease, kind="first", input={}, output={})
    batch = await append(database, a, lease, [replace(STEP, name=f"n{one}") for one in range(100)])
    last = await append(database, a, lease, [STEP])

    assert [(step.seq, step.name) for step in batch] == [(one + 2, f"n{one}") for one in range(100)]
    assert last[0].seq == 102
    assert (await agent_steps.list_steps(database.reader(a.id), lease.run_id))[1:] == [*batch, *last]


async def test_many_steps_are_one_round_trip(wired, a):
    database, wire = wired
    lease = await claim(database, a, (await new_run(database, a)).id)
    async with database.tenant(a.id) as session:
        await agent_runs.heartbeat(session, lease=lease, ttl_seconds=30)
        wire.round_trips = 0
        await agent_steps.append_steps(session, lease=lease, steps=[STEP] * 100)
        assert wire.round_trips == 1


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(STEPS, min_size=1, max_size=8))
async def test_a_batch_stores_what_one_by_one_would_have(database, a, batch):
    together = await claim(database, a, (await new_run(database, a)).id)
    one_by_one = await claim(database, a, (await new_run(database, a)).id)
    stored = await append(database, a, together, batch)
    async with database.tenant(a.id) as session:
        apart = [
            await agent_steps.append_step(
                session,
                lease=one_by_one,
                kind=step.kind,
                name=step.name,
                input=step.input,
                output=step.output,
                status=step.status,
                duration_ms=step.duration_ms,
            )
            for step in batch
        ]

    same = {"id": None, "run_id": None, "created_at": None}
    assert [replace(step, **same) for step in stored] == [replace(step, **same) for step in apart]


async def test_failed_steps_keep_their_errors_beside_others_without(database, a, lease):
    failed = replace(STEP, status="failed", output=None, error={"code": "boom"}, duration_ms=3)
    stored = await append(database, a, lease, [STEP, failed, STEP])

    assert [step.status for step in stored] == ["succeeded", "failed", "succeeded"]
    assert [step.error for step in stored] == [None, {"code": "boom"}, None]
    assert [step.duration_ms for step in stored] == [None, 3, None]


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([], InvalidValue),
        ([STEP] * 1001, InvalidValue),
        ([STEP, replace(STEP, kind="")], InvalidValue),
        ([STEP, replace(STEP, status="no such")], InvalidValue),
        ([STEP, replace(STEP, input={"x": "\0"})], InvalidValue),
        ([STEP, replace(STEP, output="x" * (256 * 1024))], PayloadTooLarge),
        ([replace(STEP, output="x" * (255 * 1024))] * 33, PayloadTooLarge),
    ],
    ids=["none", "too many", "no kind", "bad status", "a NUL", "one too large", "all too large"],
)
async def test_what_cannot_be_stored_is_refused_before_anything_is_sent(database, a, lease, steps, error):
    with pytest.raises(error):
        await append(database, a, lease, steps)

    assert await agent_steps.list_steps(database.reader(a.id), lease.run_id) == []


async def test_one_step_that_breaks_a_rule_of_the_table_takes_all_with_it(database, a, lease):
    with pytest.raises(DatabaseError):
        await append(database, a, lease, [STEP, replace(STEP, status="failed", error=None), STEP])
    stored = await append(database, a, lease, [STEP])

    assert [step.seq for step in stored] == [1]


async def test_a_lost_lease_appends_nothing(database, a, lease):
    async with database.tenant(a.id) as session:
        await agent_runs.cancel_run(session, run_id=lease.run_id)
    with pytest.raises(LeaseLost):
        await append(database, a, lease, [STEP] * 3)

    assert await agent_steps.list_steps(database.reader(a.id), lease.run_id) == []


async def test_another_tenants_lease_appends_nothing(database, a, b, lease):
    for stranger in (lease, replace(lease, run_id=new_id())):
        with pytest.raises(LeaseLost):
            await append(database, b, stranger, [STEP])

    assert await agent_steps.list_steps(database.reader(a.id), lease.run_id) == []


async def test_concurrent_batches_and_single_steps_leave_no_hole(database, a, lease):
    async def single() -> None:
        async with database.tenant(a.id) as session:
            await agent_steps.append_step(session, lease=lease, kind="one", input={}, output={})

    await asyncio.gather(
        *(append(database, a, lease, [replace(STEP, kind=f"b{one}")] * (one + 1)) for one in range(6)),
        *(single() for _ in range(6)),
    )
    steps = await agent_steps.list_steps(database.reader(a.id), lease.run_id)

    assert [step.seq for step in steps] == list(range(1, 28))
    for one in range(6):
        places = [step.seq for step in steps if step.kind == f"b{one}"]
        assert places == list(range(places[0], places[0] + one + 1))
