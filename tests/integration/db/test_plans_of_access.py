"""Each way in which repositories read a table uses an index, and only the partitions it needs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from sba_db import (
    Lease,
    ToolCallEnded,
    ToolCallNotFound,
    agent_runs,
    agent_steps,
    audit_logs,
    cursors,
    idempotency_keys,
    months,
    new_id,
    run_events,
    system_health,
    tool_calls,
    usage_metrics,
)
from sba_db.repositories.agent_runs import REPLAY, STANDING
from sba_db.retention import Policy, retention
from tests.fixtures.databases import Urls, admin, drop, fresh_name, urls_of
from tests.integration.db.months import PARTITIONED, id_at, month, partition, query, write_history
from tests.integration.db.plans import Explainer

TENANTS = [uuid.UUID(int=number << 64 | 0x4000 << 48 | 0x8000) for number in range(1, 31)]
TENANT = TENANTS[11]
USER = uuid.uuid4()
OLDEST = -6
LIVE = id_at(month(0))
MONTHS = """
select service.add_partition(t, d::date)
from unnest(%s::text[]) t, generate_series(%s::date, %s::date, '1 month') d
"""
MORE = """
insert into service.agent_runs
    (tenant_id, id, user_id, prompt, status, attempt, lease_token, lease_holder, lease_expires_at)
values (%(tenant)s, %(run)s, %(user)s, 'p', 'running', 1, 1, 'w', now() + interval '1 hour')
"""
KEYS = """
insert into service.idempotency_keys (tenant_id, operation, key, request_hash, resource_id, expires_at)
select r.tenant_id, 'agent_runs.create', r.id::text, 'h', r.id, now() + interval '1 day'
from service.agent_runs r
"""
HEALTH = """
insert into service.system_health (id, component, status)
select gen_random_uuid(), 'part ' || n %% 10, 'ok' from generate_series(1, 5000) n
"""
SEALS = """
insert into service.audit_seals (tenant_id, position, audit_id, hash)
select a.tenant_id, row_number() over (partition by a.tenant_id order by a.id), a.id, sha256('x')
from service.audit_logs a
"""
LOSE_CALLS = """
update service.tool_calls c set status = 'lost', finished_at = clock_timestamp()
where c.tenant_id = %(tenant)s and c.run_id = %(id)s and c.id >= %(since)s
  and c.status = 'running' and c.attempt is not null
"""
RUNS = "agent_runs_pkey"
RUNNING = "agent_runs_running_idx"
STEPS = "agent_steps_tenant_id_run_id_seq_key"
CALLS = "tool_calls_tenant_id_run_id_id_idx"
KEPT = "idempotency_keys_pkey"


@pytest.fixture(scope="module")
def large(engines, migrated_template) -> Iterator[Urls]:
    """Seven months of thirty tenants, in partitions, with statistics."""
    name = fresh_name()
    clone = sql.SQL("create database {} template {} owner sba_owner")
    admin(engines.admin_url, clone.format(sql.Identifier(name), sql.Identifier(migrated_template)))
    admin(
        engines.admin_url,
        sql.SQL("grant connect on database {} to sba_app, sba_migrator").format(sql.Identifier(name)),
    )
    urls = urls_of(engines.admin_url, name)
    asyncio.run(_fill(urls))
    yield urls
    drop(engines.admin_url, name)


async def _fill(urls: Urls) -> None:
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        connection.execute("set role sba_owner")
        connection.execute(MONTHS, (list(PARTITIONED), month(OLDEST).date(), month(-1).date()))
    for tenant in TENANTS:
        write_history(urls.admin, tenant, start=month(OLDEST), end=month(0), every=43_200.0, steps=4)
    query(urls.admin, MORE, {"tenant": TENANT, "run": LIVE, "user": USER})
    for statement in (KEYS, HEALTH, SEALS, "vacuum analyze"):
        query(urls.admin, statement)
    await retention(urls.migrator, Policy())


@pytest.fixture(params=["custom", "generic"])
def explainer(request, large) -> Iterator[Explainer]:
    with psycopg.connect(large.app, row_factory=dict_row) as connection:
        yield Explainer(connection, TENANT, generic=request.param == "generic")
        connection.rollback()


@pytest.fixture
def old_run(large) -> uuid.UUID:
    """A run of three months ago."""
    found = "select id from service.agent_runs where tenant_id = %s and created_at = %s"
    return query(large.admin, found, (TENANT, month(-3, day=10)))[0]


def lease() -> Lease:
    return Lease(LIVE, TENANT, 1, "w", 1)


async def test_a_run_is_read_and_changed_by_its_key(explainer, old_run):
    await agent_runs.get_run(explainer, old_run)
    await agent_runs.heartbeat(explainer, lease=lease(), ttl_seconds=5)
    await explainer.fetch_one(STANDING, {"id": LIVE})
    await agent_runs.complete_run(explainer, lease=lease(), result={}, duration_ms=1)
    queued = await agent_runs.create_run(explainer, user_id=USER, prompt="p")
    await agent_runs.claim_run(explainer, run_id=queued.id, holder="w", ttl_seconds=5)
    await agent_runs.cancel_run(explainer, run_id=queued.id)

    assert explainer.touched() == {RUNS: 1, RUNNING: 1}


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, RUNS),
        ({"status": "succeeded"}, "agent_runs_succeeded_idx"),
        ({"user_id": USER}, "agent_runs_tenant_id_user_id_id_idx"),
        ({"since": month(-3), "until": month(-3) + timedelta(days=2)}, RUNS),
    ],
    ids=["none", "status", "user", "time"],
)
async def test_a_list_of_runs_uses_the_index_of_its_filter(explainer, filters, index):
    await agent_runs.list_runs(explainer, limit=20, **filters)

    assert explainer.touched() == {index: 1}


async def test_a_run_is_made_once_by_the_key_of_its_request(explainer):
    for _ in range(2):
        await agent_runs.create_run(explainer, user_id=USER, prompt="p", idempotency_key="k")
    await explainer.fetch_one(REPLAY, {"operation": "agent_runs.create", "key": "k"})

    assert explainer.touched() == {KEPT: 1, RUNS: 1}


async def test_a_request_is_remembered_and_recalled_by_its_key(explainer):
    async def work() -> Any:
        return 1

    for _ in range(2):
        await idempotency_keys.once(explainer, operation="o", key="k", request={}, work=work)

    assert explainer.touched() == {KEPT: 1}


async def test_the_steps_and_events_of_a_run_are_read_in_one_partition(explainer, old_run):
    assert len(await agent_steps.list_steps(explainer, old_run)) == 4
    assert len(await run_events.read_events(explainer, old_run, after=1, limit=2)) == 2

    assert explainer.touched() == {STEPS: 1, "run_events_pkey": 1}


async def test_what_a_run_writes_reads_no_table_but_the_runs(explainer):
    step = agent_steps.NewStep("k", {}, {})
    made = await agent_steps.append_step(explainer, lease=lease(), kind="k", input={}, output={})
    await agent_steps.append_steps(explainer, lease=lease(), steps=[step] * 3)
    await run_events.append_event(explainer, run_id=LIVE, type="t", data={}, lease=lease())
    await run_events.append_event(explainer, run_id=LIVE, type="t", data={})
    called = {"name": "t", "arguments": {}, "status": "succeeded", "duration_ms": 1}
    await tool_calls.log_tool_call(explainer, **called, lease=lease(), step_id=made.id)
    await tool_calls.log_tool_call(explainer, **called, run_id=LIVE)
    await tool_calls.log_tool_call(explainer, **called, user_id=USER)

    assert explainer.touched() == {RUNS: 1, RUNNING: 1}


async def test_the_step_of_a_tool_call_is_looked_up_in_one_partition(explainer, old_run):
    await explainer.fetch_all(
        "select from service.agent_steps s"
        " where s.tenant_id = %(tenant)s and s.run_id = %(run_id)s and s.id = %(step_id)s",
        {"run_id": old_run, "step_id": new_id()},
    )

    assert explainer.touched() == {"agent_steps_pkey": 1}


async def test_a_tool_call_is_finished_by_its_key_in_one_partition(explainer, large):
    found = "select id from service.tool_calls where tenant_id = %s and id < %s order by id desc limit 1"
    old = query(large.admin, found, (TENANT, id_at(month(-2))))[0]
    for held, refused in ((lease(), ToolCallNotFound), (None, ToolCallEnded)):
        with pytest.raises(refused):
            await tool_calls.finish_tool_call(
                explainer, call_id=old, status="succeeded", duration_ms=1, lease=held
            )

    calls = [scan for scan in explainer.scans if scan.table == "tool_calls"]
    assert {scan.partition for scan in calls} == {partition("tool_calls", -3)}
    assert {scan.index for scan in calls} <= {"tool_calls_pkey", CALLS}
    assert {scan.index for scan in explainer.scans if scan not in calls} <= {RUNS, RUNNING}


async def test_a_tool_call_is_started_without_reading_calls(explainer):
    called = {"name": "t", "arguments": {}}
    await tool_calls.start_tool_call(explainer, **called, lease=lease())
    await tool_calls.start_tool_call(explainer, **called, run_id=LIVE)
    await tool_calls.start_tool_call(explainer, **called, user_id=USER)

    assert explainer.touched() == {RUNS: 1, RUNNING: 1}


async def test_the_calls_that_a_lease_leaves_running_are_not_looked_for_in_the_months_before_its_run(
    explainer, old_run
):
    for run in (old_run, LIVE):
        since = months.least_id_after(run)
        await explainer.execute(LOSE_CALLS, {"id": run, "since": since})

    partitions = {scan.partition for scan in explainer.scans}
    assert not partitions & {f"tool_calls_{month(number):%Y_%m}" for number in range(OLDEST, -3)}
    assert {scan.index for scan in explainer.scans if scan.partition == partition("tool_calls", -3)} == {
        CALLS
    }


async def test_the_tool_calls_of_a_run_are_not_looked_for_in_the_months_before_it(explainer, old_run):
    assert len(await tool_calls.list_tool_calls(explainer, old_run)) == 1
    read = {scan.partition: scan.index for scan in explainer.scans}
    explainer.scans.clear()
    await tool_calls.list_tool_calls(explainer, LIVE)

    ahead = {f"tool_calls_{month(number):%Y_%m}" for number in range(4)} | {"tool_calls_default"}
    full = [f"tool_calls_{month(number):%Y_%m}" for number in range(-3, 0)]
    assert read.keys() == {*full, *ahead}
    assert {read[name] for name in full} == {CALLS}
    assert {scan.partition for scan in explainer.scans} == {full[-1], *ahead}


async def test_audit_rows_are_listed_from_new_to_old_without_the_months_after_the_cursor(explainer):
    page = await audit_logs.list_audit(explainer, limit=5)
    assert len(page.items) == 5
    everything = explainer.touched()
    explainer.scans.clear()
    await audit_logs.list_audit(explainer, limit=5, cursor=cursors.encode("aud", id_at(month(-4))))

    assert everything == {"audit_logs_pkey": 11}
    assert explainer.touched() == {"audit_logs_pkey": 4}


async def test_audit_rows_are_written_without_reading_and_the_last_seal_is_found_at_once(explainer):
    await audit_logs.write_audit(explainer, actor_id=None, action="a", resource_type="b", resource_id="c")
    assert explainer.touched() == {}
    assert await audit_logs.last_seal(explainer) is not None

    assert explainer.touched() == {"audit_seals_pkey": 1}


async def test_usage_is_read_in_the_months_asked_for(explainer):
    span = {"since": month(-3), "until": month(-2, day=3)}
    assert await usage_metrics.total_usage(explainer, **span) != {}
    assert await usage_metrics.list_usage(explainer, **span, limit=5) != []
    two_months = explainer.touched()
    explainer.scans.clear()
    await usage_metrics.list_usage(explainer, limit=5)

    assert two_months == {"usage_metrics_pkey": 2}
    assert explainer.touched() == {"usage_metrics_pkey": 11}


async def test_usage_is_added_without_a_search(explainer):
    await usage_metrics.upsert_metrics(explainer, metrics={"tokens": 1, "cost_usd": 2})

    assert explainer.touched() == {}


async def test_health_is_read_by_component(explainer):
    assert len(await system_health.latest(explainer)) == 10
    await system_health.history(explainer, component="part 3", limit=3)
    await system_health.record_health(explainer, component="part 3", status="ok")

    assert explainer.touched() == {"system_health_component_id_idx": 1}
