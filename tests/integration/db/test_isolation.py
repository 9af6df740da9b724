"""Tenant A cannot see, change or collide with tenant B's rows through the library."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from sba_db import (
    AccessDenied,
    Database,
    DatabaseError,
    agent_runs,
    agent_steps,
    audit_logs,
    open_database,
    run_events,
    tool_calls,
    usage_metrics,
)
from sba_db.settings import DatabaseSettings
from tests.fixtures.databases import Tenant
from tests.integration.db.conftest import claim, new_run


async def fill(database: Database, tenant: Tenant) -> None:
    run = await new_run(database, tenant, idempotency_key="same-key")
    lease = await claim(database, tenant, run.id)
    async with database.tenant(tenant.id) as session:
        step = await agent_steps.append_step(session, lease=lease, kind="k", name="n", input={}, output={})
        await tool_calls.log_tool_call(
            session, name="t", arguments={}, status="succeeded", duration_ms=1, lease=lease, step_id=step.id
        )
        await run_events.append_event(session, run_id=run.id, type="x", data={})
        await audit_logs.write_audit(
            session, actor_id=tenant.user, action="a", resource_type="r", resource_id=run.id
        )
        await usage_metrics.upsert_metrics(session, metrics={"tokens": 1})


@pytest.fixture
async def filled(database, a, b) -> None:
    await fill(database, a)
    await fill(database, b)


async def test_a_row_cannot_be_moved_to_another_tenant(database, filled, a, b):
    for table in ("agent_runs", "idempotency_keys", "usage_metrics"):
        with pytest.raises(AccessDenied):
            async with database.tenant(a.id) as session:
                await session.execute(
                    f"update service.{table} set tenant_id = %(other)s where tenant_id = %(tenant)s",
                    {"other": b.id},
                )


async def test_a_step_cannot_refer_to_another_tenants_run(database, a, b):
    foreign = await new_run(database, b)
    with pytest.raises(DatabaseError, match="agent_steps_tenant_id_run_id_fkey"):
        async with database.tenant(a.id) as session:
            await session.execute(
                """
                insert into service.agent_steps
                    (tenant_id, id, run_id, seq, attempt, kind, name, status, input)
                values (%(tenant)s, %(id)s, %(run_id)s, 1, 1, 'k', 'n', 'succeeded', '{}')
                """,
                {"id": uuid.uuid4(), "run_id": foreign.id},
            )


async def test_repositories_answer_another_tenants_id_as_they_answer_an_unknown_one(database, filled, a, b):
    foreign = await new_run(database, b)
    reader = database.reader(a.id)

    assert await agent_runs.get_run(reader, foreign.id) is None
    assert await agent_steps.list_steps(reader, foreign.id) == []
    assert await tool_calls.list_tool_calls(reader, foreign.id) == []
    assert await run_events.read_events(reader, foreign.id) == []
    for attack in (
        agent_runs.cancel_run,
        lambda s, run_id: agent_runs.claim_run(s, run_id=run_id, holder="h", ttl_seconds=1),
    ):
        with pytest.raises(DatabaseError) as foreign_error:
            async with database.tenant(a.id) as session:
                await attack(session, run_id=foreign.id)
        assert type(foreign_error.value).__name__ == "RunNotFound"


async def test_two_tenants_may_use_the_same_idempotency_key(database, filled, a, b):
    first = await new_run(database, a, prompt="one", idempotency_key="shared")
    second = await new_run(database, b, prompt="two", idempotency_key="shared")

    assert (first.replayed, second.replayed) == (False, False)


async def test_a_storm_of_cancelled_calls_leaves_no_tenant_behind(database_urls, a, b):
    settings = DatabaseSettings(url=database_urls.app, max_size=4, statement_timeout=20)
    async with open_database(settings) as database:
        await fill(database, a)
        await fill(database, b)
        leaks: list[Any] = []

        async def look(tenant: Tenant, turn: int) -> None:
            query = "select tenant_id from service.agent_runs where %(tenant)s::uuid is not null"
            if turn % 2:
                rows = await database.reader(tenant.id).fetch_all(query)
            else:
                async with database.tenant(tenant.id) as session:
                    rows = await session.fetch_all(query)
                    rows += await session.fetch_all(query)
            leaks.extend(row for row in rows if row["tenant_id"] != tenant.id)

        for turn in range(60):
            tasks = [asyncio.create_task(look((a, b)[one % 2], one + turn)) for one in range(8)]
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            for victim in tasks[turn % 3 :: 3]:
                victim.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(one) for one in results} <= {type(None), asyncio.CancelledError}

        assert leaks == []
        await asyncio.gather(*(look((a, b)[one % 2], one) for one in range(16)))
        assert leaks == []
        assert await database.system("select id from service.agent_runs") == []
