"""A sealer to call, rows for it, and what a verification finds."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from sba_db import Database, audit_logs, seals
from sba_db.anchors import Anchor
from sba_db.seals import Ask
from sba_db.verify_audit import Finding, verify_audit
from tests.fixtures.databases import Tenant, Urls

Superuser = psycopg.Connection[dict[str, Any]]
INSERT = """
insert into service.audit_logs
    (tenant_id, id, actor_id, action, resource_type, resource_id, before, after, request_id, created_at)
values (%(tenant_id)s, %(id)s, %(actor_id)s, %(action)s, %(resource_type)s, %(resource_id)s,
        %(before)s::jsonb, %(after)s::jsonb, %(request_id)s, %(created_at)s)
"""


@asynccontextmanager
async def sealer(urls: Urls) -> AsyncIterator[Ask]:
    """What the worker seals with: statements of its own login, each in a transaction of its own."""
    async with await psycopg.AsyncConnection.connect(
        urls.worker, autocommit=True, row_factory=dict_row
    ) as connection:

        async def ask(query: Any, **params: Any) -> Mapping[str, Any]:
            row = await (await connection.execute(query, params)).fetchone()
            assert row is not None
            return row

        yield ask


async def seal(urls: Urls, **sizes: int) -> int:
    async with sealer(urls) as ask:
        return await seals.seal(ask, **sizes)


async def written(database: Database, tenant: Tenant, count: int) -> list[UUID]:
    """Audit rows, each committed by itself."""
    made = []
    for number in range(count):
        async with database.tenant(tenant.id) as session:
            row = await audit_logs.write_audit(
                session,
                actor_id=tenant.user,
                action="run.create",
                resource_type="agent_run",
                resource_id=f"r{number}",
                before=None,
                after={"n": number, "name": "Übung ✓", "cost": 1.5},
            )
        made.append(row.id)
    return made


def audit_row(tenant: UUID, audit_id: UUID | None = None, **fields: Any) -> dict[str, Any]:
    """Every column of a row."""
    return {
        "tenant_id": tenant,
        "id": audit_id or id_at(2026, 6),
        "actor_id": None,
        "action": "a",
        "resource_type": "t",
        "resource_id": "r",
        "before": None,
        "after": None,
        "request_id": None,
        "created_at": datetime(2026, 6, 1, tzinfo=UTC),
        **fields,
    }


def id_at(year: int, month: int) -> UUID:
    """An id of version 7 that was made when the month began."""
    moment = int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)
    return UUID(int=(moment << 80) | (0x7 << 76) | (0x2 << 62) | (uuid.uuid4().int & ((1 << 62) - 1)))


def positions(superuser: Superuser, tenant: UUID) -> list[tuple[int, UUID]]:
    """The tenant's chain: positions and the rows in them."""
    rows = superuser.execute(
        "select position, audit_id from service.audit_seals where tenant_id = %s order by position", (tenant,)
    )
    return [(row["position"], row["audit_id"]) for row in rows]


async def found(
    urls: Urls, anchors: Mapping[UUID, Anchor] | None = None, tenant: UUID | None = None
) -> list[tuple[str, int | None]]:
    """Kind and position of everything that does not fit."""
    findings: list[Finding] = []
    done = await verify_audit(urls.migrator, findings.append, tenant=tenant, anchors=anchors or {})
    assert done.findings == len(findings)
    return [(str(one.kind), one.position) for one in findings]
