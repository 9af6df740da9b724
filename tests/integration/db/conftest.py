"""Sessions on a migrated database, and what tests need to look behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from sba_db import CreatedRun, Database, DatabaseSettings, agent_runs, open_database
from sba_db.pool import Pool
from sba_supabase.tenant import ENTER_TENANT
from tests.fixtures.databases import Tenant, Urls
from tests.integration.db.wire import Wire, wire_to


@pytest.fixture
def a(tenants: tuple[Tenant, Tenant]) -> Tenant:
    return tenants[0]


@pytest.fixture
def b(tenants: tuple[Tenant, Tenant]) -> Tenant:
    return tenants[1]


@pytest.fixture
def superuser(database_urls: Urls) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """Sees everything: for arranging and checking only."""
    with psycopg.connect(database_urls.admin, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
async def wired(database_urls: Urls) -> AsyncIterator[tuple[Database, Wire]]:
    """A database of one connection, and the wire it goes through."""
    async with wire_to(database_urls.app) as (wire, url):
        settings = DatabaseSettings(url=url, max_size=1, enter_member=ENTER_TENANT)
        async with open_database(settings) as database:
            yield database, wire


@pytest.fixture(params=["direct", "pooler"])
async def either(request: pytest.FixtureRequest, database_urls: Urls) -> AsyncIterator[Database]:
    """A database in each of its two forms; one contract for both."""
    pooler = request.param == "pooler"
    settings = DatabaseSettings(url=database_urls.app, max_size=2, pooler=pooler, enter_member=ENTER_TENANT)
    async with open_database(settings) as database:
        yield database


async def new_run(database: Database, tenant: Tenant, **fields: Any) -> CreatedRun:
    async with database.tenant(tenant.id) as session:
        return await agent_runs.create_run(session, **{"user_id": tenant.user, "prompt": "hello", **fields})


async def claim(
    database: Database, tenant: Tenant, run_id: UUID, *, ttl: float = 30.0, holder: str = "w"
) -> Any:
    async with database.tenant(tenant.id) as session:
        return await agent_runs.claim_run(session, run_id=run_id, holder=holder, ttl_seconds=ttl)


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float = 15.0) -> None:
    """Ask again and again, up to a deadline."""
    async with asyncio.timeout(seconds):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.005)


async def until_someone_waits_for_a_lock(database: Database) -> None:
    waiting = """
    select count(*) as n from pg_stat_activity
    where wait_event_type = 'Lock' and datname = current_database()
    """

    async def someone_waits() -> bool:
        return (await database.system(waiting))[0]["n"] > 0

    await until(someone_waits)


async def until_waiting(pool: Pool, callers: int = 1) -> None:
    async def they_wait() -> bool:
        return pool.waiting >= callers

    await until(they_wait)
