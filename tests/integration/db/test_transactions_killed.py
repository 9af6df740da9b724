"""Postgres killed in the middle of writes: what was acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from sba_db import (
    Database,
    DatabaseError,
    DatabaseSettings,
    DatabaseUnavailable,
    TenantSession,
    agent_runs,
    agent_steps,
    audit_logs,
    bootstrap,
    migrate,
    open_database,
    run_events,
    usage_metrics,
)
from sba_local.ports import free_port
from sba_local.postgres import EmbeddedPostgres
from tests.fixtures.databases import PASSWORDS, Urls, urls_of
from tests.integration.db.conftest import until
from tests.integration.db.test_faults import kill

WRITERS, STEPS = 6, 3
WHOLE = """
select r.id, r.status, r.step_seq, r.event_seq, r.lease_holder,
       (select count(*) from service.agent_steps s where s.run_id = r.id) as steps,
       (select count(*) from service.run_events e where e.run_id = r.id) as events,
       (select count(*) from service.audit_logs a where a.resource_id = r.id::text) as audited
from service.agent_runs r
"""
COUNTED = "select coalesce(sum(value), 0) as n from service.usage_metrics where metric = 'runs'"


@pytest.fixture
def server(tmp_path: Path):
    """One that writes to the disk what it acknowledges."""
    with EmbeddedPostgres(tmp_path / "pg", port=free_port()) as server:
        yield server


@pytest.fixture
def urls(server: EmbeddedPostgres) -> Urls:
    asyncio.run(bootstrap.bootstrap(server.url(), database="sba", passwords=PASSWORDS))
    urls = urls_of(server.url(), "sba")
    asyncio.run(migrate.migrate(urls.migrator))
    return urls


class Writer:
    """Carries out runs, each whole in one transaction, until the server is gone."""

    def __init__(self, database: Database, tenant_id: uuid.UUID) -> None:
        self.database = database
        self.tenant_id = tenant_id
        self.acknowledged: list[uuid.UUID] = []
        self.in_doubt = 0

    async def write(self) -> None:
        try:
            while True:
                self.acknowledged.append(await self.database.run(self.tenant_id, self.whole_run))
        except DatabaseUnavailable as error:
            self.in_doubt += error.in_doubt
        except DatabaseError:
            self.in_doubt += 0

    async def whole_run(self, session: TenantSession) -> uuid.UUID:
        run = await agent_runs.create_run(session, user_id=uuid.uuid4(), prompt="x")
        lease = await agent_runs.claim_run(session, run_id=run.id, holder="w", ttl_seconds=60)
        for number in range(STEPS):
            await agent_steps.append_step(
                session, lease=lease, kind="k", name=f"s{number}", input={}, output={"n": number}
            )
            await run_events.append_event(session, run_id=run.id, type="step", data={}, lease=lease)
        await usage_metrics.upsert_metrics(session, metrics={"runs": 1})
        await audit_logs.write_audit(
            session, actor_id=None, action="run.done", resource_type="agent_run", resource_id=run.id
        )
        await agent_runs.complete_run(session, lease=lease, result={}, duration_ms=1)
        return run.id


async def killed_while_writing(server: EmbeddedPostgres, urls: Urls, written: int) -> list[Writer]:
    settings = DatabaseSettings(url=urls.app, max_size=WRITERS, attempts=1)
    async with open_database(settings) as database:
        writers = [Writer(database, uuid.uuid4()) for _ in range(WRITERS)]
        tasks = [asyncio.create_task(writer.write()) for writer in writers]

        async def enough_is_written() -> bool:
            return sum(len(writer.acknowledged) for writer in writers) >= written

        await until(enough_is_written, seconds=60)
        await kill(server)
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
    return writers


async def test_after_a_kill_every_acknowledged_run_is_there_and_every_run_is_whole(server, urls):
    acknowledged: set[uuid.UUID] = set()
    in_doubt = 0
    for written in (5, 20, 35):
        writers = await killed_while_writing(server, urls, written)
        acknowledged |= {run for writer in writers for run in writer.acknowledged}
        in_doubt += sum(writer.in_doubt for writer in writers)
        server.stop()
        await asyncio.to_thread(server.start)

    with psycopg.connect(urls.admin, row_factory=dict_row) as connection:
        rows = connection.execute(WHOLE).fetchall()
        counted = connection.execute(COUNTED).fetchone()
    assert acknowledged <= {row["id"] for row in rows}
    assert len(rows) - len(acknowledged) <= in_doubt
    assert counted
    assert counted["n"] == len(rows)
    for row in rows:
        parts = (
            row["status"],
            row["step_seq"],
            row["steps"],
            row["event_seq"],
            row["events"],
            row["audited"],
        )
        assert parts == ("succeeded", STEPS, STEPS, STEPS + 1, STEPS + 1, 1)
        assert row["lease_holder"] is None
