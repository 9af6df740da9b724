"""Who reads a run by its id: the repository in its forms, and what others do for the same row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import psycopg_pool
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sba_db import DatabaseSettings, agent_runs, open_database
from sba_supabase.tenant import ENTER_TENANT

POOL = 10
SET_TENANT = "select set_config('app.tenant_id', {}, true)"
COLUMNS = """
select tenant_id, id, user_id, status, prompt, options, result, error, attempt, lease_token, lease_holder,
       lease_expires_at, step_seq, event_seq, duration_ms, created_at, started_at, finished_at
from service.agent_runs where tenant_id = {} and id = {}
"""
STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")

Read: TypeAlias = Callable[[UUID], Awaitable[object]]


class Base(DeclarativeBase):
    """Where the mapping is kept."""

    type_annotation_map = {dict[str, Any]: JSONB, datetime: sa.DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's


class Run(Base):
    """The run as an ORM maps it."""

    __tablename__ = "agent_runs"
    __table_args__ = ({"schema": "service"},)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(sa.Enum(*STATUSES, name="run_status", schema="service"))
    prompt: Mapped[str]
    options: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    attempt: Mapped[int]
    lease_token: Mapped[int] = mapped_column(sa.BigInteger)
    lease_holder: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    step_seq: Mapped[int]
    event_seq: Mapped[int] = mapped_column(sa.BigInteger)
    duration_ms: Mapped[int | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


@asynccontextmanager
async def ours(
    url: str, tenant: UUID, *, member: UUID | None = None, pooler: bool = False
) -> AsyncIterator[Read]:
    """The repository, as an application uses it: pool, guard, span and figures."""
    settings = DatabaseSettings(
        url=url, min_size=POOL, max_size=POOL, enter_member=ENTER_TENANT, pooler=pooler
    )
    async with open_database(settings) as database:

        async def read(run_id: UUID) -> object:
            return await agent_runs.get_run(database.reader(tenant, member=member), run_id)

        yield read


@asynccontextmanager
async def bare(url: str, tenant: UUID) -> AsyncIterator[Read]:
    """The floor: one select on a pooled psycopg connection, by a login that needs no tenant."""
    query = COLUMNS.format("%s", "%s")
    async with psycopg_pool.AsyncConnectionPool(
        url, min_size=POOL, max_size=POOL, open=False, kwargs={"autocommit": True}
    ) as pool:
        await pool.wait()

        async def read(run_id: UUID) -> object:
            async with pool.connection() as connection:
                cursor = await connection.execute(query, (tenant, run_id))
                return await cursor.fetchone()

        yield read


@asynccontextmanager
async def psycopg_tenant(url: str, tenant: UUID) -> AsyncIterator[Read]:
    """psycopg: begin, set_config, select, commit."""
    enter, query = SET_TENANT.format("%s"), COLUMNS.format("%s", "%s")
    async with psycopg_pool.AsyncConnectionPool(
        url, min_size=POOL, max_size=POOL, open=False, kwargs={"autocommit": True}
    ) as pool:
        await pool.wait()

        async def read(run_id: UUID) -> object:
            async with pool.connection() as connection, connection.transaction():
                await connection.execute(enter, (str(tenant),))
                cursor = await connection.execute(query, (tenant, run_id))
                return await cursor.fetchone()

        yield read


@asynccontextmanager
async def asyncpg_tenant(url: str, tenant: UUID) -> AsyncIterator[Read]:
    """asyncpg: begin, set_config, select, commit."""
    enter, query = SET_TENANT.format("$1"), COLUMNS.format("$1", "$2")
    async with asyncpg.create_pool(url, min_size=POOL, max_size=POOL) as pool:

        async def read(run_id: UUID) -> object:
            async with pool.acquire() as connection, connection.transaction():
                await connection.fetchval(enter, str(tenant))
                return await connection.fetchrow(query, tenant, run_id)

        yield read


@asynccontextmanager
async def sqlalchemy_tenant(url: str, tenant: UUID, *, orm: bool = True) -> AsyncIterator[Read]:
    """SQLAlchemy on asyncpg: begin, set_config, select, commit; an object of the ORM, or a row of Core."""
    parts = urlsplit(url)
    engine = create_async_engine(urlunsplit(parts._replace(scheme="postgresql+asyncpg")), pool_size=POOL)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    enter = sa.text(SET_TENANT.format(":tenant"))

    async def read_object(run_id: UUID) -> object:
        async with sessions.begin() as session:
            await session.execute(enter, {"tenant": str(tenant)})
            return await found(session, tenant, run_id)

    async def read_row(run_id: UUID) -> object:
        async with engine.begin() as connection:
            await connection.execute(enter, {"tenant": str(tenant)})
            wanted = sa.select(Run.__table__).where(Run.tenant_id == tenant, Run.id == run_id)
            return (await connection.execute(wanted)).first()

    try:
        yield read_object if orm else read_row
    finally:
        await engine.dispose()


async def found(session: AsyncSession, tenant: UUID, run_id: UUID) -> Run | None:
    """The run, asked for as the documentation does."""
    return await session.scalar(sa.select(Run).where(Run.tenant_id == tenant, Run.id == run_id))
