"""Taking a run in: the run, its first event, its audit row and its job together, in three round trips."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sba_agents import enqueue, submit_run
from sba_db import (
    Database,
    DatabaseError,
    DatabaseSettings,
    IdempotencyConflict,
    PayloadTooLarge,
    audit_logs,
    new_id,
    open_database,
    run_events,
)
from sba_supabase.tenant import ENTER_TENANT
from sba_telemetry import context, traces
from tests.fixtures.databases import Tenant, Urls
from tests.integration.agents.bench import Bench
from tests.integration.db.wire import Wire, wire_to


@pytest.fixture(params=[False, True], ids=["direct", "pooler"])
async def wired(request, database_urls: Urls) -> AsyncIterator[tuple[Database, Wire]]:
    async with wire_to(database_urls.app) as (wire, url):
        settings = DatabaseSettings(url=url, max_size=1, enter_member=ENTER_TENANT, pooler=request.param)
        async with open_database(settings) as database:
            yield database, wire


async def submit(database: Database, tenant: Tenant, **fields: Any) -> Any:
    async with database.tenant(tenant.id, member=tenant.user) as session:
        return await submit_run(session, user_id=tenant.user, **{"prompt": "hello", **fields})


@pytest.mark.parametrize("key", [None, "k"], ids=["without a key", "with a key"])
async def test_a_run_its_audit_and_its_job_are_three_round_trips(wired, bench: Bench, key):
    database, wire = wired
    for turn in range(3):
        await database.ping()
        wire.round_trips = 0
        await submit(database, bench.tenant, idempotency_key=key and f"{key}{turn}", request_id="req-1")
        assert wire.round_trips == 3

    assert len(await bench.jobs()) == 3


async def test_a_replay_is_three_round_trips_and_neither_queues_nor_audits(wired, bench: Bench):
    database, wire = wired
    first = await submit(database, bench.tenant, idempotency_key="k")
    wire.round_trips = 0
    again = await submit(database, bench.tenant, idempotency_key="k")

    assert wire.round_trips == 3
    assert (again.id, again.replayed) == (first.id, True)
    assert len(await bench.jobs()) == 1
    assert len((await audit_logs.list_audit(database.reader(bench.tenant.id))).items) == 1


async def test_what_was_submitted_is_audited_with_who_asked_and_by_which_request(database, bench: Bench):
    run = await submit(database, bench.tenant, request_id="req-7")
    (entry,) = (await audit_logs.list_audit(database.reader(bench.tenant.id))).items

    assert (entry.actor_id, entry.action, entry.resource_type) == (
        bench.tenant.user,
        "run.submitted",
        "agent_run",
    )
    assert (entry.resource_id, entry.before, entry.after) == (str(run.id), None, {"status": "queued"})
    assert entry.request_id == "req-7"


async def test_the_job_names_the_tenant_and_the_run_and_carries_the_trace(database, bench: Bench):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with traces.extract({"traceparent": parent}), context.bind(tenant_id=bench.tenant.id):
        run = await submit(database, bench.tenant)
    (job,) = await bench.jobs()

    assert (job["args"]["tenant_id"], job["args"]["run_id"]) == (str(bench.tenant.id), str(run.id))
    assert job["args"]["traceparent"].split("-")[1] == parent.split("-")[1]


async def test_a_transaction_that_ends_badly_leaves_neither_run_nor_audit_nor_job(database, bench: Bench):
    async def fail_after_submitting() -> None:
        async with database.tenant(bench.tenant.id) as session:
            await submit_run(session, user_id=bench.tenant.user, prompt="hello", idempotency_key="k")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_submitting()

    left = await bench.query(
        "select (select count(*) from service.agent_runs) + (select count(*) from service.audit_logs)"
        " + (select count(*) from service.run_events) + (select count(*) from service.idempotency_keys) as n"
    )
    assert left[0]["n"] == 0
    assert await bench.jobs() == []


async def test_a_request_id_over_its_limit_is_refused_and_nothing_is_left(database, bench: Bench):
    with pytest.raises(PayloadTooLarge, match="request_id"):
        await submit(database, bench.tenant, request_id="r" * 201)

    assert await bench.jobs() == []


async def test_concurrent_duplicates_make_one_run_one_audit_row_and_one_job(database, bench: Bench):
    runs = await asyncio.gather(*(submit(database, bench.tenant, idempotency_key="k") for _ in range(12)))

    assert len({run.id for run in runs}) == 1
    assert [run.replayed for run in runs].count(False) == 1
    assert len(await bench.jobs()) == 1
    assert len((await audit_logs.list_audit(database.reader(bench.tenant.id))).items) == 1
    assert [
        event.type for event in await run_events.read_events(database.reader(bench.tenant.id), runs[0].id)
    ] == ["run.queued"]


async def test_the_same_key_for_another_prompt_is_a_conflict_that_queues_nothing(database, bench: Bench):
    await submit(database, bench.tenant, idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        await submit(database, bench.tenant, idempotency_key="k", prompt="something else")

    assert len(await bench.jobs()) == 1


async def test_a_job_alone_can_be_queued_for_a_run(database, bench: Bench):
    run_id = new_id()
    async with database.tenant(bench.tenant.id) as session:
        job = await enqueue(session, run_id)

    assert [one["id"] for one in await bench.jobs()] == [job]


async def test_nobody_can_queue_a_job_for_another_tenant(database, bench: Bench, tenants):
    with pytest.raises(DatabaseError):
        async with database.tenant(bench.tenant.id) as session:
            await session.fetch_one(
                "select queue.defer_run(%(other)s, %(run_id)s, null) where %(tenant)s::uuid is not null",
                {"other": tenants[1].id, "run_id": new_id()},
            )

    assert await bench.jobs() == []
