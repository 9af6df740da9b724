"""While a worker runs, audit rows are sealed by it; without the tables for it, it still runs."""

from __future__ import annotations

import psycopg

from sba_db import audit_logs
from tests.integration.agents.bench import until
from tests.integration.db.sealing import found, written


async def sealed_up_to(bench, position: int) -> None:
    async def is_sealed() -> bool:
        head = await audit_logs.last_seal(bench.database.reader(bench.tenant.id))
        return head is not None and head.position >= position

    await until(is_sealed)


async def test_a_worker_seals_what_is_written_while_it_runs(bench, working, database_urls):
    async with working():
        await written(bench.database, bench.tenant, 3)
        await sealed_up_to(bench, 3)
        await written(bench.database, bench.tenant, 2)
        await sealed_up_to(bench, 5)

    assert await found(database_urls) == []


async def test_the_sealer_goes_on_when_its_connections_were_cut(bench, working, database_urls):
    async with working():
        await written(bench.database, bench.tenant, 1)
        await sealed_up_to(bench, 1)
        with psycopg.connect(database_urls.admin, autocommit=True) as superuser:
            superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and usename = 'sba_worker'"
            )
        await written(bench.database, bench.tenant, 1)
        await sealed_up_to(bench, 2)

    assert await found(database_urls) == []


async def test_a_worker_of_a_database_that_has_no_seals_yet_still_runs(bench, working, database_urls):
    with psycopg.connect(database_urls.admin, autocommit=True) as superuser:
        superuser.execute("alter function service.seal_audit rename to seal_audit_later")
        async with working():
            run = await bench.submit()
            await bench.ended(run)
            superuser.execute("alter function service.seal_audit_later rename to seal_audit")
            await sealed_up_to(bench, 1)

    assert await found(database_urls) == []
