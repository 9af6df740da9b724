"""Tool calls: what was called, by whom, with what, and what came of it."""
# ruff: noqa: S608 - composed of this module's own constants; values are always bound

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from sba_db import payloads
from sba_db.errors import LeaseLost, RunNotFound, TransactionConflict
from sba_db.ids import new_id
from sba_db.method import repository_method
from sba_db.models import Json, Lease, ToolCall, ToolCallStatus
from sba_db.months import least_id_after
from sba_db.plans import Row
from sba_db.repositories.agent_runs import HELD
from sba_db.sessions import ReadSession, WriteSession

COLUMNS: Final[LiteralString] = """
    c.tenant_id, c.id, c.run_id, c.step_id, c.user_id, c.name, c.status, c.arguments, c.result, c.error,
    c.duration_ms, c.created_at
"""
_INSERT: Final[LiteralString] = f"""
insert into service.tool_calls as c
    (tenant_id, id, run_id, step_id, user_id, name, status, arguments, result, error, duration_ms)
select %(tenant)s, %(id)s, %(run_id)s::uuid, %(step_id)s::uuid, %(user_id)s::uuid, %(name)s,
       %(status)s::service.tool_call_status, %(arguments)s::jsonb, %(result)s::jsonb, %(error)s::jsonb,
       %(duration_ms)s
from allowed
returning {COLUMNS}
"""
LOG_LEASED: Final[LiteralString] = f"""
with allowed as (select 1 from service.agent_runs r where {HELD} for no key update) {_INSERT}
"""
LOG_OF_RUN: Final[LiteralString] = f"""
with allowed as (
    select 1 from service.agent_runs r where r.tenant_id = %(tenant)s and r.id = %(run_id)s
) {_INSERT}
"""
LOG_ALONE: Final[LiteralString] = f"with allowed as (select 1) {_INSERT}"
LIST: Final[LiteralString] = f"""
select {COLUMNS} from service.tool_calls c
where c.tenant_id = %(tenant)s and c.run_id = %(run_id)s and c.id >= %(least)s order by c.id
"""


@repository_method
async def log_tool_call(  # noqa: PLR0913 - one argument a column
    session: WriteSession,
    *,
    name: str,
    arguments: Json,
    status: ToolCallStatus | str,
    duration_ms: int,
    result: Json = None,
    error: Json = None,
    lease: Lease | None = None,
    run_id: UUID | None = None,
    step_id: UUID | None = None,
    user_id: UUID | None = None,
) -> ToolCall:
    """Store a finished tool call.

    Args:
        session: The transaction to store it in.
        name: The tool's name, up to 200 bytes.
        arguments: JSON of up to 256 KiB.
        status: How it ended.
        duration_ms: How long it took.
        result: JSON of up to 256 KiB.
        error: JSON of up to 16 KiB, when it failed and only then.
        lease: The right to write to a run, which the call then belongs to.
        run_id: The run it belongs to, when a user called the tool for one.
        step_id: The step it belongs to; needs a run.
        user_id: Who called it, if not a run.

    Raises:
        LeaseLost: The run was taken over, cancelled or finished; nothing was written.
        RunNotFound: The tenant has no such run.
        ConstraintViolated: The run has no such step.
        PayloadTooLarge: A field over its limit.
        InvalidValue: A field that cannot be stored.
    """
    run = lease.run_id if lease else run_id
    params = {
        "id": new_id(),
        "run_id": run,
        "token": lease.token if lease else None,
        "step_id": step_id,
        "user_id": user_id,
        "name": payloads.text("name", name, limit=payloads.NAME),
        "status": payloads.choice("status", status, ToolCallStatus),
        "arguments": payloads.document("arguments", arguments, limit=payloads.DOCUMENT),
        "result": payloads.optional_document("result", result, limit=payloads.DOCUMENT),
        "error": payloads.optional_document("error", error, limit=payloads.ERROR),
        "duration_ms": duration_ms,
    }
    row = await session.fetch_one(_statement(lease, run), params)
    if row is None:
        raise _refusal(lease, run)
    return _to_call(row)


@repository_method
async def list_tool_calls(reader: ReadSession, run_id: UUID) -> list[ToolCall]:
    """The run's tool calls in the order they were logged."""
    rows = await reader.fetch_all(LIST, {"run_id": run_id, "least": least_id_after(run_id)})
    return [_to_call(row) for row in rows]


def _statement(lease: Lease | None, run_id: UUID | None) -> LiteralString:
    if lease:
        return LOG_LEASED
    return LOG_OF_RUN if run_id else LOG_ALONE


def _refusal(lease: Lease | None, run_id: UUID | None) -> Exception:
    if lease:
        return LeaseLost(lease.run_id)
    return RunNotFound(run_id) if run_id else TransactionConflict("the call was not stored")


def _to_call(row: Row) -> ToolCall:
    return ToolCall(**{**row, "status": ToolCallStatus(row["status"])})
