"""Steps, tool calls, events, audit, usage and health: dense, bounded, in order."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest

from sba_db import (
    ConstraintViolated,
    HealthStatus,
    InvalidCursor,
    InvalidValue,
    PayloadTooLarge,
    RunNotFound,
    StepStatus,
    ToolCallStatus,
    agent_runs,
    agent_steps,
    audit_logs,
    run_events,
    system_health,
    tool_calls,
    usage_metrics,
)
from tests.integration.db.conftest import claim, new_run

TOO_MUCH = "x" * (256 * 1024 + 1)


@pytest.fixture
async def lease(database, a):
    return await claim(database, a, (await new_run(database, a)).id)


async def append(database, tenant, run_id, *, kind="x", lease=None):
    async with database.tenant(tenant.id) as session:
        return await run_events.append_event(session, run_id=run_id, type=kind, data={"n": 1}, lease=lease)


async def test_steps_are_read_so_many_at_a_time(database, a, b, lease):
    steps = [agent_steps.NewStep("k", {"n": n}, None) for n in range(7)]
    async with database.tenant(a.id) as session:
        await agent_steps.append_steps(session, lease=lease, steps=steps)
    reader, seen = database.reader(a.id), []
    while page := await agent_steps.list_steps(reader, lease.run_id, after=len(seen), limit=3):
        assert len(page) <= 3
        seen += page

    assert seen == await agent_steps.list_steps(reader, lease.run_id)
    assert [one.seq for one in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert await agent_steps.list_steps(database.reader(b.id), lease.run_id, limit=3) == []
    for limit in (0, 1001):
        with pytest.raises(InvalidValue):
            await agent_steps.list_steps(reader, lease.run_id, limit=limit)


async def test_steps_are_numbered_from_one_and_read_back_in_order(database, a, lease):
    async with database.tenant(a.id) as session:
        for n in range(3):
            await agent_steps.append_step(
                session, lease=lease, kind="tool", name=f"s{n}", input={"n": n}, output=[n], duration_ms=n
            )
        failed = await agent_steps.append_step(
            session,
            lease=lease,
            kind="tool",
            name="s3",
            input=None,
            output=None,
            status="failed",
            error={"code": "x"},
        )
    steps = await agent_steps.list_steps(database.reader(a.id), lease.run_id)

    assert [(one.seq, one.name, one.input, one.output, one.attempt) for one in steps[:3]] == [
        (n + 1, f"s{n}", {"n": n}, [n], 1) for n in range(3)
    ]
    assert steps[3] == failed
    assert (failed.status, failed.error) == (StepStatus.FAILED, {"code": "x"})


async def test_concurrent_steps_and_events_are_numbered_without_holes_or_doubles(database, a, lease):
    async def step() -> None:
        async with database.tenant(a.id) as session:
            await agent_steps.append_step(session, lease=lease, kind="k", name="n", input={}, output={})
            await run_events.append_event(
                session, run_id=lease.run_id, type="step.finished", data={}, lease=lease
            )

    async def abandoned() -> None:
        with contextlib.suppress(ZeroDivisionError):
            async with database.tenant(a.id) as session:
                await run_events.append_event(session, run_id=lease.run_id, type="never", data={})
                raise ZeroDivisionError

    await asyncio.gather(*(step() if n % 3 else abandoned() for n in range(30)))
    reader = database.reader(a.id)
    steps = await agent_steps.list_steps(reader, lease.run_id)
    events = await run_events.read_events(reader, lease.run_id)

    assert [one.seq for one in steps] == list(range(1, 21))
    assert [one.seq for one in events] == list(range(1, 22))
    assert "never" not in {one.type for one in events}


async def test_a_reader_that_follows_never_sees_a_later_event_before_an_earlier_one(database, a, lease):
    done = asyncio.Event()
    holes: list[list[int]] = []

    async def follow() -> None:
        while not done.is_set():
            seen = [one.seq for one in await run_events.read_events(database.reader(a.id), lease.run_id)]
            if seen != list(range(1, len(seen) + 1)):
                holes.append(seen)

    follower = asyncio.create_task(follow())
    await asyncio.gather(*(append(database, a, lease.run_id) for _ in range(40)))
    done.set()
    await follower

    assert holes == []


async def test_events_are_read_after_a_position_and_up_to_a_limit(database, a, lease):
    for _ in range(5):
        await append(database, a, lease.run_id, lease=lease)
    reader = database.reader(a.id)

    assert [one.seq for one in await run_events.read_events(reader, lease.run_id, after=2, limit=3)] == [
        3,
        4,
        5,
    ]
    assert await run_events.read_events(reader, lease.run_id, after=2**40) == []
    with pytest.raises(InvalidValue):
        await run_events.read_events(reader, lease.run_id, limit=1001)


async def test_an_event_for_an_unknown_run_is_refused(database, a):
    with pytest.raises(RunNotFound):
        await append(database, a, uuid.uuid4())


async def test_tool_calls_belong_to_a_run_a_user_or_both(database, a, lease):
    async with database.tenant(a.id) as session:
        step = await agent_steps.append_step(session, lease=lease, kind="k", name="n", input={}, output={})
        leased = await tool_calls.log_tool_call(
            session,
            name="t",
            arguments={"q": 1},
            result=[1],
            status="succeeded",
            duration_ms=3,
            lease=lease,
            step_id=step.id,
        )
        by_user = await tool_calls.log_tool_call(
            session,
            name="t",
            arguments={},
            status=ToolCallStatus.FAILED,
            error={"code": "x"},
            duration_ms=0,
            run_id=lease.run_id,
            user_id=a.user,
        )
        alone = await tool_calls.log_tool_call(
            session, name="t", arguments={}, status="succeeded", duration_ms=0, user_id=a.user
        )

    assert await tool_calls.list_tool_calls(database.reader(a.id), lease.run_id) == [leased, by_user]
    assert (leased.step_id, leased.result, by_user.user_id) == (step.id, [1], a.user)
    assert (alone.run_id, by_user.status) == (None, ToolCallStatus.FAILED)


async def test_a_tool_call_for_an_unknown_run_or_step_is_refused(database, a, lease):
    with pytest.raises(RunNotFound):
        async with database.tenant(a.id) as session:
            await tool_calls.log_tool_call(
                session, name="t", arguments={}, status="succeeded", duration_ms=0, run_id=uuid.uuid4()
            )
    with pytest.raises(ConstraintViolated, match="step_id_fkey"):
        async with database.tenant(a.id) as session:
            await tool_calls.log_tool_call(
                session,
                name="t",
                arguments={},
                status="succeeded",
                duration_ms=0,
                lease=lease,
                step_id=uuid.uuid4(),
            )


BAD_STEPS = [
    ({"input": TOO_MUCH}, PayloadTooLarge, "input"),
    ({"output": TOO_MUCH}, PayloadTooLarge, "output"),
    ({"error": "x" * 17_000, "status": "failed"}, PayloadTooLarge, "error"),
    ({"name": "n" * 201}, PayloadTooLarge, "name"),
    ({"kind": ""}, InvalidValue, "kind"),
    ({"status": "nonsense"}, InvalidValue, "status"),
    ({"output": {"x": "\0"}}, InvalidValue, "output"),
]


@pytest.mark.parametrize(("fields", "kind", "field"), BAD_STEPS)
async def test_a_step_over_a_limit_is_refused_naming_the_field(database, lease, fields, kind, field):
    step = {"kind": "k", "name": "n", "input": {}, "output": {}, **fields}
    with pytest.raises(kind) as refused:
        async with database.tenant(lease.tenant_id) as session:
            await agent_steps.append_step(session, lease=lease, **step)

    assert refused.value.field == field


async def test_tool_payloads_and_event_data_have_limits(database, a, lease):
    for field in ("arguments", "result"):
        call = {"name": "t", "arguments": {}, "status": "succeeded", "duration_ms": 1, field: TOO_MUCH}
        with pytest.raises(PayloadTooLarge) as refused:
            async with database.tenant(a.id) as session:
                await tool_calls.log_tool_call(session, **call)
        assert refused.value.field == field
    with pytest.raises(PayloadTooLarge) as refused:
        async with database.tenant(a.id) as session:
            await run_events.append_event(session, run_id=lease.run_id, type="x", data={"x": "y" * 65_536})
    assert refused.value.field == "data"


async def audit(database, tenant, **fields):
    row = {
        "actor_id": tenant.user,
        "action": "run.create",
        "resource_type": "agent_run",
        "resource_id": "r",
        **fields,
    }
    async with database.tenant(tenant.id) as session:
        return await audit_logs.write_audit(session, **row)


async def test_audit_rows_are_listed_from_new_to_old_in_pages(database, a):
    made = [await audit(database, a, before={"n": n}, after=None, request_id=f"req-{n}") for n in range(5)]
    reader = database.reader(a.id)
    first = await audit_logs.list_audit(reader, limit=3)
    second = await audit_logs.list_audit(reader, limit=3, cursor=first.next_cursor)

    assert [*first.items, *second.items] == made[::-1]
    assert second.next_cursor is None
    assert (made[0].before, made[0].after, made[0].request_id) == ({"n": 0}, None, "req-0")


async def test_an_audit_row_takes_an_id_and_goes_with_its_transaction(database, a, superuser):
    written = await audit(database, a, actor_id=None, resource_id=uuid.uuid4())

    async def fail() -> None:
        async with database.tenant(a.id) as session:
            await audit_logs.write_audit(
                session, actor_id=None, action="x", resource_type="y", resource_id="z"
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    rows = superuser.execute("select id from service.audit_logs").fetchall()
    assert [row["id"] for row in rows] == [written.id]


async def test_a_cursor_of_another_list_is_refused(database, a):
    for _ in range(2):
        await new_run(database, a)
        await audit(database, a)
    cursor = (await audit_logs.list_audit(database.reader(a.id), limit=1)).next_cursor
    with pytest.raises(InvalidCursor):
        await agent_runs.list_runs(database.reader(a.id), cursor=cursor)


async def test_counters_add_up_under_concurrency(database, a, b):
    async def add(tenant, turn: int) -> None:
        async with database.tenant(tenant.id) as session:
            metrics = {"tokens": turn, "cost": Decimal("0.000001"), "runs": 1}
            await usage_metrics.upsert_metrics(
                session, metrics=dict(sorted(metrics.items(), reverse=turn % 2))
            )

    await asyncio.gather(*(add(a, turn) for turn in range(30)), add(b, 7))
    usage = await usage_metrics.list_usage(database.reader(a.id))
    totals: dict[str, Decimal] = {}
    for one in usage:
        totals[one.metric] = totals.get(one.metric, Decimal(0)) + one.value

    assert totals == {"tokens": Decimal(435), "cost": Decimal("0.000030"), "runs": Decimal(30)}
    assert all((one.period.minute, one.period.second, one.period.microsecond) == (0, 0, 0) for one in usage)


async def test_usage_is_listed_for_a_span_of_hours(database, a):
    async with database.tenant(a.id) as session:
        await usage_metrics.upsert_metrics(session, metrics={"tokens": 1})
        await usage_metrics.upsert_metrics(session, metrics={})
    reader = database.reader(a.id)
    (row,) = await usage_metrics.list_usage(reader)

    assert await usage_metrics.list_usage(
        reader, since=row.period, until=row.period + timedelta(hours=1)
    ) == [row]
    assert await usage_metrics.list_usage(reader, until=row.period) == []
    assert await usage_metrics.list_usage(reader, since=row.period + timedelta(hours=1)) == []


@pytest.mark.parametrize(
    "metrics",
    [{"x": -1}, {"x": Decimal("NaN")}, {"x": Decimal("Infinity")}, {"": 1}, {str(n): 1 for n in range(101)}],
)
async def test_amounts_that_cannot_be_added_are_refused(database, a, metrics):
    with pytest.raises(InvalidValue) as refused:
        async with database.tenant(a.id) as session:
            await usage_metrics.upsert_metrics(session, metrics=metrics)

    assert refused.value.field == "metrics"


async def test_an_amount_beyond_the_column_is_an_invalid_value(database, a):
    with pytest.raises(InvalidValue):
        async with database.tenant(a.id) as session:
            await usage_metrics.upsert_metrics(session, metrics={"x": Decimal(10) ** 20})


async def test_the_latest_word_of_each_component_is_what_counts(database):
    await system_health.record_health(database, component="worker", status="ok")
    await system_health.record_health(database, component="api", status=HealthStatus.OK, detail={"v": 1})
    down = await system_health.record_health(
        database, component="worker", status="down", detail={"why": "gone"}
    )

    latest = await system_health.latest(database)

    assert [(one.component, one.status) for one in latest] == [
        ("api", HealthStatus.OK),
        ("worker", HealthStatus.DOWN),
    ]
    assert latest[1] == down
    with pytest.raises(InvalidValue):
        await system_health.record_health(database, component="x", status="fine")


async def test_no_component_has_spoken_on_a_new_database(database):
    assert await system_health.latest(database) == []
