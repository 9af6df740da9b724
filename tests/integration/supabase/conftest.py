"""The Supabase side of one database, seen by its owner, a service and PostgREST."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Requests = Callable[..., AbstractAsyncContextManager[Connection]]


@pytest.fixture
async def app(database_urls: Any) -> AsyncIterator[Connection]:
    """A service's connection, as `sba_app`."""
    async with await psycopg.AsyncConnection.connect(database_urls.app, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def admin(database_urls: Any) -> AsyncIterator[Connection]:
    """The superuser's connection."""
    async with await psycopg.AsyncConnection.connect(database_urls.admin, autocommit=True) as connection:
        yield connection


@pytest.fixture
def request_as(admin: Connection) -> Requests:
    """One PostgREST request: a transaction with its role, claims and headers, all local."""

    @asynccontextmanager
    async def request(
        user: UUID | None = None,
        *,
        role: str = "authenticated",
        header: object = None,
        claim: object = None,
        settings: dict[str, str] | None = None,
    ) -> AsyncIterator[Connection]:
        claims = {"role": role, "sub": str(user) if user else None, "app_metadata": {"tenant_id": claim}}
        headers = {} if header is None else {"x-tenant-id": str(header)}
        given = {
            "request.jwt.claims": json.dumps(claims, default=str),
            "request.headers": json.dumps(headers),
        }
        async with admin.transaction(force_rollback=True):
            for name, value in {**given, **(settings or {})}.items():
                await admin.execute("select set_config(%s, %s, true)", [name, value])
            await admin.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            yield admin

    return request


async def column(connection: Connection, query: str, params: Any = None) -> list[Any]:
    cursor = await connection.execute(query, params)  # type: ignore[arg-type] - the tests write their queries out
    return [row[0] for row in await cursor.fetchall()]
