"""Audit: who did what to which resource, in the transaction of the change."""
# ruff: noqa: S608 - composed of this module's own constants; values are always bound

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from sba_db import cursors, payloads
from sba_db.errors import TransactionConflict
from sba_db.ids import new_id
from sba_db.method import repository_method
from sba_db.models import AuditLog, AuditSeal, Json, Page
from sba_db.sessions import ReadSession, WriteSession

LIST_KIND: Final = "aud"
MOST_LISTED: Final = 200

COLUMNS: Final[LiteralString] = """
    a.tenant_id, a.id, a.actor_id, a.action, a.resource_type, a.resource_id, a.before, a.after, a.request_id,
    a.created_at
"""
WRITE: Final[LiteralString] = f"""
insert into service.audit_logs as a
    (tenant_id, id, actor_id, action, resource_type, resource_id, before, after, request_id)
values (%(tenant)s, %(id)s, %(actor_id)s, %(action)s, %(resource_type)s, %(resource_id)s,
        %(before)s::jsonb, %(after)s::jsonb, %(request_id)s)
returning {COLUMNS}
"""
LIST: Final[LiteralString] = f"""
select {COLUMNS} from service.audit_logs a
where a.tenant_id = %(tenant)s and a.id < %(older_than)s
order by a.id desc limit %(limit)s
"""
HEAD: Final[LiteralString] = """
select s.tenant_id, s.position, s.audit_id, s.row_hash, s.hash, s.sealed_at from service.audit_seals s
where s.tenant_id = %(tenant)s
order by s.position desc limit 1
"""


@repository_method
async def write_audit(
    session: WriteSession,
    *,
    actor_id: UUID | None,
    action: str,
    resource_type: str,
    resource_id: str | UUID,
    before: Json = None,
    after: Json = None,
    request_id: str | None = None,
) -> AuditLog:
    """Store who did what, in the transaction that does it.

    Args:
        session: That transaction.
        actor_id: The user, or None for the system.
        action: Such as `run.create`, up to 100 bytes.
        resource_type: Such as `agent_run`, up to 100 bytes.
        resource_id: Which one, up to 200 bytes.
        before: What it was, JSON of up to 64 KiB.
        after: What it became, JSON of up to 64 KiB.
        request_id: The request that asked for it.

    Raises:
        PayloadTooLarge: A field over its limit.
        InvalidValue: A field that cannot be stored.
    """
    params = {
        "id": new_id(),
        "actor_id": actor_id,
        "action": payloads.text("action", action, limit=payloads.WORD),
        "resource_type": payloads.text("resource_type", resource_type, limit=payloads.WORD),
        "resource_id": payloads.text("resource_id", str(resource_id), limit=payloads.NAME),
        "before": payloads.optional_document("before", before, limit=payloads.EVENT),
        "after": payloads.optional_document("after", after, limit=payloads.EVENT),
        "request_id": payloads.optional_text("request_id", request_id, limit=payloads.NAME),
    }
    row = await session.fetch_one(WRITE, params)
    if row is None:
        raise TransactionConflict("the audit row was not stored")
    return AuditLog(**row)


@repository_method
async def list_audit(reader: ReadSession, *, limit: int = 50, cursor: str | None = None) -> Page[AuditLog]:
    """The tenant's audit trail from new to old, 1 to 200 rows a page.

    Raises:
        InvalidCursor: Not a cursor of this list.
        InvalidValue: The limit is out of range.
    """
    size = payloads.page_size(limit, most=MOST_LISTED)
    params = {"older_than": cursors.decode(LIST_KIND, cursor), "limit": size + 1}
    rows = await reader.fetch_all(LIST, params)
    more = cursors.encode(LIST_KIND, rows[size - 1]["id"]) if len(rows) > size else None
    return Page(tuple(AuditLog(**row) for row in rows[:size]), more)


@repository_method
async def last_seal(reader: ReadSession) -> AuditSeal | None:
    """The head of the tenant's audit chain, to be kept where nobody here can write; None before the first."""
    row = await reader.fetch_one(HEAD)
    return AuditSeal(**row) if row else None
