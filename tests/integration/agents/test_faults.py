"""Workers that are killed and engines that go away: a run still ends, once, with no step run twice."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import sba_supabase.migrate
from sba_agents import Dependencies
from sba_agents.jobs import WorkerSettings, install, run_worker
from sba_db import bootstrap, migrate
from sba_db.database import DatabaseSettings, open_database
from sba_db.models import RunStatus
from sba_local.ports import free_port
from sba_local.postgres import EmbeddedPostgres
from sba_local.valkey import EmbeddedValkey
from sba_resilience.redis import RedisClient, RedisSettings, RedisUnavailable, open_redis
from tests.fixtures.databases import PASSWORDS, Tenant, _seed, urls_of
from tests.integration.agents.bench import PATIENCE, QUICK, Bench, until
from tests.integration.agents.conftest import Working
from tests.integration.agents.stand_ins import At, ThreeSteps, file_journal

SCRIPT = Path(__file__).with_name("worker_process.py")
ROOT = SCRIPT.parents[3]


@asynccontextmanager
async def worker_process(
    bench: Bench, journal: Path, point: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    order = {"app": bench.urls.app, "worker": bench.urls.worker, "journal": str(journal), "point": point}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.agents.worker_process", json.dumps(order),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await heard(process, "working")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while (line := await process.stdout.readline()).decode().strip() != word:
            assert line, f"the worker ended without saying {word!r}"


@pytest.mark.parametrize("point", ["claimed", "step_committed", "before_completion"])
async def test_a_killed_workers_run_is_taken_over_and_ends_once(
    bench: Bench, working: Working, tmp_path: Path, point: str
) -> None:
    journal = tmp_path / "journal"
    journal.touch()
    run_id = await bench.submit()
    async with worker_process(bench, journal, point) as doomed:
        await heard(doomed, f"reached {point}")
        doomed.kill()
        await doomed.wait()
    assert [job["status"] for job in await bench.jobs()] == ["doing"]
    async with working(runner=ThreeSteps(file_journal(journal))):
        left = await bench.ended(run_id)
    assert left.run.status is RunStatus.SUCCEEDED
    assert Counter(journal.read_text().split()) == {"first": 1, "second": 1, "third": 1}
    assert left.types.count("run.started") == 1
    assert left.types.count("run.resumed") == 1
    assert left.types.count("step.finished") == 3


async def test_a_worker_that_is_there_already_takes_over(
    bench: Bench, working: Working, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    run_id = await bench.submit()
    async with worker_process(bench, journal, "step_committed") as doomed:
        await heard(doomed, "reached step_committed")
        async with working(runner=ThreeSteps(file_journal(journal))):
            doomed.kill()
            left = await bench.ended(run_id)
    assert left.run.status is RunStatus.SUCCEEDED
    assert Counter(journal.read_text().split()) == {"first": 1, "second": 1, "third": 1}


async def test_a_worker_outlives_losing_every_connection(bench: Bench, working: Working) -> None:
    async with working() as worker:
        for number in range(3):
            await bench.ended(await bench.insist(f"{number}+1"))
            await bench.query(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and usename in ('sba_worker', 'sba_app')"
            )
        assert not worker.done()
        assert (await bench.ended(await bench.insist("2+2"))).run.status is RunStatus.SUCCEEDED


async def test_connections_lost_in_the_middle_of_a_run_do_not_lose_it(bench: Bench, working: Working) -> None:
    journal: list[str] = []
    cuts = iter([True])

    async def cut() -> None:
        if next(cuts, False):
            await bench.query(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and usename in ('sba_worker', 'sba_app')"
            )

    async with working(runner=ThreeSteps(journal.append), barriers=At("step_committed", cut)):
        left = await bench.ended(await bench.submit())
    assert left.run.status is RunStatus.SUCCEEDED
    assert len(left.steps) == 3


async def test_a_worker_keeps_working_after_postgres_restarts(
    tmp_path: Path, quick_worker: WorkerSettings
) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", port=free_port(), settings={"fsync": "off"})
    server.start()
    try:
        urls = urls_of(server.url(), "restarted")
        await bootstrap.bootstrap(server.url(), database=urls.name, passwords=PASSWORDS)
        await sba_supabase.migrate.ensure_platform_roles(urls.admin)
        await migrate.migrate(urls.migrator)
        await sba_supabase.migrate.migrate(urls.migrator)
        await install(urls.migrator)
        tenant: Tenant = _seed(urls.admin, ("acme", "globex"))[0]
        async with open_database(DatabaseSettings(url=urls.app)) as database:
            bench = Bench(database, urls, tenant)
            stop = asyncio.Event()
            deps = Dependencies(database=database, settings=QUICK)
            settings = replace(quick_worker, url=urls.worker)
            worker = asyncio.create_task(run_worker(settings, dependencies=deps, stop=stop))
            await bench.ended(await bench.submit("1+1"))
            await asyncio.to_thread(server.stop)
            await asyncio.sleep(1.0)  # long enough for the worker to notice
            await asyncio.to_thread(server.start)
            assert (await bench.ended(await bench.insist("2+2"))).run.status is RunStatus.SUCCEEDED
            assert not worker.done()
            await asyncio.to_thread(server.stop)
            stop.set()
            async with asyncio.timeout(PATIENCE):
                await worker
    finally:
        server.stop()


async def test_a_worker_keeps_working_while_redis_comes_and_goes(
    bench: Bench, working: Working, tmp_path: Path
) -> None:
    server = EmbeddedValkey(tmp_path / "valkey", port=free_port())
    server.start()
    try:
        async with open_redis(RedisSettings(url=server.url)) as redis, working(redis=redis):
            await bench.ended(await bench.submit("1+1"))
            await asyncio.to_thread(server.stop)
            await bench.ended(await bench.submit("1+2"))
            await asyncio.to_thread(server.start)
            await until(lambda: answers(redis))
            await bench.ended(await bench.submit("1+3"))
    finally:
        server.stop()


async def answers(redis: RedisClient) -> bool:
    try:
        await redis.ping()
    except RedisUnavailable:
        return False
    return True
