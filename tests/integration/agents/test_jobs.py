"""The queue: jobs commit with their runs, workers take them, and nobody else may look."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors as pg

from sba_agents import Dependencies, events, submit_run
from sba_agents.events import stream_key
from sba_agents.execution import execute_run
from sba_agents.jobs import WorkerSettings, enqueue, install, run_worker
from sba_agents.jobs.worker import build_app
from sba_db import agent_runs
from sba_db.database import Database
from sba_db.errors import IdempotencyConflict
from sba_db.models import RunStatus
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from sba_telemetry import traces
from tests.fixtures.databases import Tenant, Urls
from tests.integration.agents.bench import Bench, until
from tests.integration.agents.conftest import Working
from tests.integration.agents.stand_ins import Forever, ThreeSteps


async def test_a_run_its_event_its_audit_and_its_job_roll_back_together(bench: Bench) -> None:
    async def change_of_mind() -> None:
        async with bench.database.tenant(bench.tenant.id) as session:
            await submit_run(session, user_id=bench.tenant.user, prompt="never")
            raise LookupError

    with pytest.raises(LookupError):
        await change_of_mind()
    assert await bench.jobs() == []
    for table in ("agent_runs", "run_events", "audit_logs"):
        assert await bench.query(f"select 1 from service.{table}") == []


async def test_a_submitted_run_has_one_job_with_its_tenant_and_trace(bench: Bench) -> None:
    run_id = await bench.submit(request_id="req-1")
    (job,) = await bench.jobs()
    assert job["args"] == {"tenant_id": str(bench.tenant.id), "run_id": str(run_id), "traceparent": None}
    (audit,) = await bench.query("select * from service.audit_logs")
    assert (audit["action"], audit["request_id"]) == ("run.submitted", "req-1")


async def test_a_replayed_submission_queues_nothing_more(bench: Bench) -> None:
    first = await bench.submit("once", idempotency_key="k")
    assert await bench.submit("once", idempotency_key="k") == first
    assert len(await bench.jobs()) == 1
    assert len(await bench.query("select 1 from service.audit_logs")) == 1
    with pytest.raises(IdempotencyConflict):
        await bench.submit("other", idempotency_key="k")


async def test_nobody_queues_a_run_for_another_tenant(
    bench: Bench, database_urls: Urls, tenants: tuple[Tenant, Tenant]
) -> None:
    defer = "select queue.defer_run(%s, %s, null)"
    async with await psycopg.AsyncConnection.connect(database_urls.app) as connection:
        for setting in (str(tenants[1].id), ""):
            await connection.execute("select set_config('app.tenant_id', %s, true)", (setting,))
            with pytest.raises(psycopg.Error) as caught:
                await connection.execute(defer, (tenants[0].id, uuid4()))
            assert caught.value.sqlstate == "SB403"
            await connection.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        "select * from queue.procrastinate_jobs",
        "select * from queue.procrastinate_events",
        "select * from queue.procrastinate_workers",
        "insert into queue.procrastinate_jobs (queue_name, task_name) values ('runs', 'x')",
        "delete from queue.procrastinate_jobs",
        "select queue.procrastinate_fetch_job_v2(null, 1)",
        "select queue.procrastinate_register_worker_v1()",
        "select queue.procrastinate_defer_jobs_v1(null)",
        "create table queue.mine ()",
    ],
)
async def test_the_application_can_only_defer(database_urls: Urls, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_urls.app) as connection:
        with pytest.raises(pg.InsufficientPrivilege):
            await connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select * from service.agent_runs",
        "select * from public.documents",
        "select queue.defer_run(gen_random_uuid(), gen_random_uuid(), null)",
        "truncate queue.procrastinate_jobs",
        "create table queue.mine ()",
        "drop table queue.procrastinate_jobs",
    ],
)
async def test_the_worker_login_sees_the_queue_and_nothing_else(database_urls: Urls, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_urls.worker) as connection:
        await connection.execute("select count(*) from queue.procrastinate_jobs")
        with pytest.raises(pg.InsufficientPrivilege):
            await connection.execute(statement)


async def test_everything_in_the_queue_belongs_to_the_owner_and_nothing_is_public(bench: Bench) -> None:
    owners = await bench.query(
        "select distinct relowner::regrole::text as owner from pg_class"
        " where relnamespace = 'queue'::regnamespace"
    )
    assert owners == [{"owner": "sba_owner"}]
    public = await bench.query(
        "select proname from pg_proc where pronamespace = 'queue'::regnamespace"
        " and has_function_privilege('public', oid, 'execute')"
    )
    assert public == []
    definers = await bench.query(
        "select proname, proconfig from pg_proc where pronamespace = 'queue'::regnamespace and prosecdef"
    )
    assert definers == [{"proname": "defer_run", "proconfig": ["search_path=queue, pg_temp"]}]


async def test_installing_twice_and_at_once_is_harmless(blank_database: Urls) -> None:
    made = await asyncio.gather(*(install(blank_database.migrator) for _ in range(4)))
    assert sorted(made) == [False, False, False, True]
    assert not await install(blank_database.migrator)


async def test_a_worker_takes_a_run_to_its_end(bench: Bench, working: Working) -> None:
    async with working():
        left = await bench.ended(await bench.submit("calculate: 6*7"))
        assert left.run.result["answer"] == "6*7 = 42"
        await until(lambda: all_jobs(bench, "succeeded"))


async def test_runs_submitted_before_the_worker_came_are_taken_too(bench: Bench, working: Working) -> None:
    waiting = [await bench.submit(f"calculate: {number}+1") for number in range(12)]
    async with working():
        ended = [await bench.ended(run_id) for run_id in waiting]
    assert {left.run.status for left in ended} == {RunStatus.SUCCEEDED}


async def test_a_failed_run_is_a_job_well_done(bench: Bench, working: Working) -> None:
    async with working():
        assert (await bench.ended(await bench.submit("calculate: 1/0"))).run.status is RunStatus.FAILED
        await until(lambda: all_jobs(bench, "succeeded"))


async def test_a_job_whose_run_is_held_comes_back_after_the_lease(bench: Bench, working: Working) -> None:
    run_id = await bench.submit("1+1")
    async with bench.database.tenant(bench.tenant.id) as session:
        await agent_runs.claim_run(session, run_id=run_id, holder="dead", ttl_seconds=1.0)
    async with working():
        left = await bench.ended(run_id)
    assert (left.run.status, left.run.attempt) == (RunStatus.SUCCEEDED, 2)


async def test_two_jobs_of_one_run_end_it_once(bench: Bench, working: Working) -> None:
    journal: list[str] = []
    run_id = await bench.submit()
    async with bench.database.tenant(bench.tenant.id) as session:
        await enqueue(session, run_id)
    async with working(runner=ThreeSteps(journal.append)):
        await bench.ended(run_id)
        await until(lambda: all_jobs(bench, "succeeded"))
    assert journal == ["first", "second", "third"]


async def test_a_stopping_worker_hands_its_run_to_the_next(
    bench: Bench, working: Working, quick_worker: WorkerSettings
) -> None:
    runner = Forever()
    run_id = await bench.submit("1+1")
    async with working(replace(quick_worker, shutdown_grace=0.1), runner=runner):
        await runner.begun.wait()
    assert [job["status"] for job in await bench.jobs()] == ["todo"]
    async with working():
        assert (await bench.ended(run_id)).run.status is RunStatus.SUCCEEDED


async def test_a_cancelled_worker_hands_its_run_back_as_well(
    bench: Bench, deps: Dependencies, quick_worker: WorkerSettings
) -> None:
    runner = Forever()
    await bench.submit()
    task = asyncio.create_task(
        run_worker(
            replace(quick_worker, shutdown_grace=0.1),
            dependencies=replace(deps, runner=runner),
            stop=asyncio.Event(),
        )
    )
    await runner.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [job["status"] for job in await bench.jobs()] == ["todo"]


async def test_events_are_carried_in_order_after_they_are_committed(
    bench: Bench, working: Working, redis: RedisClient
) -> None:
    async with working(redis=redis):
        left = await bench.ended(await bench.submit("1+1"))
        key = stream_key(bench.tenant.id)

        async def all_there() -> bool:
            return len(await redis.execute("XRANGE", key, "-", "+")) >= len(left.events) - 1

        await until(all_there)
        entries = await redis.execute("XRANGE", key, "-", "+")
    carried = [events.decode(fields[1]) for _, fields in entries]
    assert carried == left.events[1:]


async def test_announcing_carries_what_another_transaction_committed(
    bench: Bench, redis: RedisClient
) -> None:
    run_id = await bench.submit()
    reader = bench.database.reader(bench.tenant.id)
    await events.announce(redis, reader, run_id)
    ((_, fields),) = await redis.execute("XRANGE", stream_key(bench.tenant.id), "-", "+")
    assert events.decode(fields[1]) == (await events.read(reader, run_id))[0]


async def test_a_run_does_not_need_redis(bench: Bench, working: Working) -> None:
    async with open_redis(RedisSettings(url="redis://127.0.0.1:1/0")) as gone, working(redis=gone):
        assert (await bench.ended(await bench.submit("1+1"))).run.status is RunStatus.SUCCEEDED


async def test_the_trace_of_a_request_is_in_its_job(bench: Bench) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with traces.extract({"traceparent": parent}):
        await bench.submit()
    (job,) = await bench.jobs()
    assert job["args"]["traceparent"] == parent


async def test_the_executions_of_two_tenants_do_not_meet(
    bench: Bench, database: Database, database_urls: Urls, tenants: tuple[Tenant, Tenant], working: Working
) -> None:
    other = Bench(database, database_urls, tenants[1])
    async with working():
        mine, theirs = await bench.submit("1+1"), await other.submit("2+2")
        mine_left, theirs_left = await bench.ended(mine), await other.ended(theirs)
    assert {event.tenant_id for event in mine_left.events} == {bench.tenant.id}
    assert {event.tenant_id for event in theirs_left.events} == {other.tenant.id}
    with pytest.raises(AssertionError):
        await other.left(mine)


async def test_the_end_of_a_run_is_carried_even_if_its_worker_died_before_saying_so(
    bench: Bench, deps: Dependencies, working: Working, redis: RedisClient
) -> None:
    run_id = await bench.submit("1+1")
    await execute_run(deps, tenant_id=bench.tenant.id, run_id=run_id, holder="died before it could publish")
    async with working(redis=redis):
        await until(lambda: all_jobs(bench, "succeeded"))
    ((_, fields),) = await redis.execute("XRANGE", stream_key(bench.tenant.id), "-", "+")
    assert events.decode(fields[1]).type == "run.succeeded"


async def test_the_jobs_of_a_living_worker_are_left_to_it(
    bench: Bench, working: Working, quick_worker: WorkerSettings
) -> None:
    runner = Forever()
    run_id = await bench.submit()
    async with working(replace(quick_worker, concurrency=1, shutdown_grace=0.1), runner=runner):
        await runner.begun.wait()
        async with working():
            await bench.ended(await bench.submit("1+1"))
            await bench.ended(await bench.submit("1+2"))
        assert (await bench.jobs())[0]["attempts"] == 0
        assert (await bench.left(run_id)).run.attempt == 1


async def test_a_worker_tries_on_while_its_database_cannot_be_reached(
    bench: Bench, deps: Dependencies, quick_worker: WorkerSettings
) -> None:
    stop = asyncio.Event()
    nowhere = replace(quick_worker, url="postgresql://sba_worker@127.0.0.1:1/none", connect_timeout=0.2)
    task = asyncio.create_task(run_worker(nowhere, dependencies=deps, stop=stop))
    done, _ = await asyncio.wait({task}, timeout=1.0)
    assert not done
    stop.set()
    await task


async def test_old_jobs_are_forgotten_and_young_ones_are_not(
    bench: Bench, deps: Dependencies, working: Working, quick_worker: WorkerSettings
) -> None:
    async with working():
        old, young = await bench.submit("1+1"), await bench.submit("2+2")
        await bench.ended(old)
        await bench.ended(young)
        await until(lambda: all_jobs(bench, "succeeded"))
    await bench.query(
        "update queue.procrastinate_events set at = now() - interval '100 hours' where job_id ="
        " (select id from queue.procrastinate_jobs where args ->> 'run_id' = %s)",
        str(old),
    )
    app = build_app(quick_worker, deps)
    async with app.open_async():
        await app.tasks["sba_agents.forget"].func(timestamp=0)
    assert [job["args"]["run_id"] for job in await bench.jobs()] == [str(young)]


async def all_jobs(bench: Bench, status: str) -> bool:
    return {job["status"] for job in await bench.jobs()} == {status}


def test_the_workers_settings_do_not_show_the_address() -> None:
    assert "secret" not in repr(WorkerSettings(url="postgresql://u:secret@h/d"))
