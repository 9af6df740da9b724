"""Tool calls: what was called, by whom, with what, and what came of it."""
# ruff: noqa: S608 - composed of this module's own constants; values are always bound

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from sba_db import payloads
from sba_db.errors import (
    InvalidValue,
    LeaseLost,
    RunNotFound,
    ToolCallEnded,
    ToolCallNotFound,
    TransactionConflict,
)
from sba_db.ids import new_id
from sba_db.method import repository_method
from sba_db.models import Json, Lease, ToolCall, ToolCallStatus
from sba_db.months import least_id_after
from sba_db.plans import Row
from sba_db.repositories.agent_runs import HELD
from sba_db.sessions import ReadSession, WriteSession

ENDINGS: Final = (ToolCallStatus.SUCCEEDED, ToolCallStatus.FAILED)

COLUMNS: Final[LiteralString] = """
    c.tenant_id, c.id, c.run_id, c.step_id, c.user_id, c.name, c.status, c.arguments, c.result, c.error,
    c.duration_ms, c.created_at, c.attempt, c.finished_at
"""
_LEASED: Final[LiteralString] = f"""
with allowed as (select r.attempt from service.agent_runs r where {HELD} for no key update)
"""
_OF_RUN: Final[LiteralString] = """
with allowed as (
    select null::integer as attempt from service.agent_runs r
    where r.tenant_id = %(tenant)s and r.id = %(run_id)s
)
"""
_ALONE: Final[LiteralString] = "with allowed as (select null::integer as attempt)"
_START: Final[LiteralString] = f"""
insert into service.tool_calls as c (tenant_id, id, run_id, user_id, name, status, arguments, attempt)
select %(tenant)s, %(id)s, %(run_id)s::uuid, %(user_id)s::uuid, %(name)s, 'running', %(arguments)s::jsonb,
       allowed.attempt
from allowed
returning {COLUMNS}
"""
_LOG: Final[LiteralString] = f"""
insert into service.tool_calls as c
    (tenant_id, id, run_id, step_id, user_id, name, status, arguments, result, error, duration_ms, attempt,
     finished_at)
select %(tenant)s, %(id)s, %(run_id)s::uuid, %(step_id)s::uuid, %(user_id)s::uuid, %(name)s,
       %(status)s::service.tool_call_status, %(arguments)s::jsonb, %(result)s::jsonb, %(error)s::jsonb,
       %(duration_ms)s, allowed.attempt, now()
from allowed
returning {COLUMNS}
"""
_FINISH: Final[LiteralString] = """
update service.tool_calls c
set status = %(status)s::service.tool_call_status, result = %(result)s::jsonb, error = %(error)s::jsonb,
    duration_ms = %(duration_ms)s, step_id = %(step_id)s::uuid, finished_at = clock_timestamp()
from allowed
where c.tenant_id = %(tenant)s and c.id = %(id)s and c.status = 'running'
  and c.attempt is not distinct from allowed.attempt
"""
LOG_LEASED: Final[LiteralString] = f"{_LEASED} {_LOG}"
LOG_OF_RUN: Final[LiteralString] = f"{_OF_RUN} {_LOG}"
LOG_ALONE: Final[LiteralString] = f"{_ALONE} {_LOG}"
START_LEASED: Final[LiteralString] = f"{_LEASED} {_START}"
START_OF_RUN: Final[LiteralString] = f"{_OF_RUN} {_START}"
START_ALONE: Final[LiteralString] = f"{_ALONE} {_START}"
FINISH_LEASED: Final[LiteralString] = f"""
{_LEASED} {_FINISH} and c.run_id = %(run_id)s returning {COLUMNS}
"""
FINISH_ALONE: Final[LiteralString] = f"{_ALONE} {_FINISH} returning {COLUMNS}"
STANDING: Final[LiteralString] = f"""
select exists (select from service.agent_runs r where {HELD}) as held,
       (select c.status from service.tool_calls c
        where c.tenant_id = %(tenant)s and c.id = %(id)s
          and (c.attempt is null) = (%(run_id)s::uuid is null)
          and (%(run_id)s::uuid is null or c.run_id = %(run_id)s::uuid)) as status
"""
LIST: Final[LiteralString] = f"""
select {COLUMNS} from service.tool_calls c
where c.tenant_id = %(tenant)s and c.run_id = %(run_id)s and c.id >= %(least)s order by c.id
"""


@repository_method
async def start_tool_call(
    session: WriteSession,
    *,
    name: str,
    arguments: Json,
    lease: Lease | None = None,
    run_id: UUID | None = None,
    user_id: UUID | None = None,
) -> ToolCall:
    """Store a tool call that begins, before the tool has done anything; `finish_tool_call` says how it ended.

    Under a lease it is `running` for as long as the lease could finish it: whatever ends the run or takes it
    over makes the call `lost` in the same transaction. Without one it stays `running` until its caller says
    more: who reads one that is older than a tool may take has to regard its caller as gone.

    Args:
        session: The transaction to store it in, to be committed before the tool is called.
        name: The tool's name, up to 200 bytes.
        arguments: JSON of up to 256 KiB; stored without secrets, see `payloads.redacted`.
        lease: The right to write to a run, which the call then belongs to.
        run_id: The run it belongs to, when a user called the tool for one.
        user_id: Who called it.

    Raises:
        LeaseLost: The run was taken over, cancelled or finished; nothing was written.
        RunNotFound: The tenant has no such run.
        PayloadTooLarge: A field over its limit.
        InvalidValue: A field that cannot be stored.
    """
    run = lease.run_id if lease else run_id
    params = {
        "id": new_id(),
        "run_id": run,
        "token": lease.token if lease else None,
        "user_id": user_id,
        "name": payloads.text("name", name, limit=payloads.NAME),
        "arguments": payloads.redacted("arguments", arguments, limit=payloads.DOCUMENT),
    }
    statement = _chosen(lease, run, START_LEASED, START_OF_RUN, START_ALONE)
    row = await session.fetch_one(statement, params)
    if row is None:
        raise _refusal(lease, run)
    return _to_call(row)


@repository_method
async def finish_tool_call(
    session: WriteSession,
    *,
    call_id: UUID,
    status: ToolCallStatus | str,
    duration_ms: int,
    result: Json = None,
    error: Json = None,
    lease: Lease | None = None,
    step_id: UUID | None = None,
) -> ToolCall:
    """Say how a call that was started has ended; that happens once.

    Args:
        session: The transaction to store it in.
        call_id: The call.
        status: `succeeded` or `failed`.
        duration_ms: How long it took.
        result: JSON of up to 256 KiB; stored without secrets, see `payloads.redacted`.
        error: JSON of up to 16 KiB, when it failed and only then; without secrets too.
        lease: The lease the call was started under, if it was.
        step_id: The step of its run that it was.

    Raises:
        LeaseLost: The run was taken over, cancelled or finished; nothing was written.
        ToolCallEnded: It has been finished before, or was lost with an earlier lease.
        ToolCallNotFound: The tenant, or the lease's run, has no such call; or it needs its lease.
        ConstraintViolated: The run has no such step.
        PayloadTooLarge: A field over its limit.
        InvalidValue: A field that cannot be stored.
    """
    params = {
        "id": call_id,
        "run_id": lease.run_id if lease else None,
        "token": lease.token if lease else None,
        "step_id": step_id,
        "duration_ms": duration_ms,
        **_outcome(status, result, error),
    }
    row = await session.fetch_one(FINISH_LEASED if lease else FINISH_ALONE, params)
    if row is None:
        raise await _why_not(session, call_id, lease)
    return _to_call(row)


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
    """Store a tool call as a whole once it has ended: for tools that change nothing if their caller dies.

    Args:
        session: The transaction to store it in.
        name: The tool's name, up to 200 bytes.
        arguments: JSON of up to 256 KiB; stored without secrets, see `payloads.redacted`.
        status: `succeeded` or `failed`.
        duration_ms: How long it took.
        result: JSON of up to 256 KiB; without secrets too.
        error: JSON of up to 16 KiB, when it failed and only then; without secrets too.
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
        "arguments": payloads.redacted("arguments", arguments, limit=payloads.DOCUMENT),
        "duration_ms": duration_ms,
        **_outcome(status, result, error),
    }
    row = await session.fetch_one(_chosen(lease, run, LOG_LEASED, LOG_OF_RUN, LOG_ALONE), params)
    if row is None:
        raise _refusal(lease, run)
    return _to_call(row)


@repository_method
async def list_tool_calls(reader: ReadSession, run_id: UUID) -> list[ToolCall]:
    """The run's tool calls in the order they were started or, as a whole, logged."""
    rows = await reader.fetch_all(LIST, {"run_id": run_id, "least": least_id_after(run_id)})
    return [_to_call(row) for row in rows]


def _outcome(status: str, result: Json, error: Json) -> dict[str, str | None]:
    if status not in ENDINGS:
        raise InvalidValue(f"must be one of {', '.join(ENDINGS)}", field="status")
    return {
        "status": str(status),
        "result": payloads.optional_redacted("result", result, limit=payloads.DOCUMENT),
        "error": payloads.optional_redacted("error", error, limit=payloads.ERROR),
    }


def _chosen(
    lease: Lease | None,
    run_id: UUID | None,
    leased: LiteralString,
    of_run: LiteralString,
    alone: LiteralString,
) -> LiteralString:
    if lease:
        return leased
    return of_run if run_id else alone


def _refusal(lease: Lease | None, run_id: UUID | None) -> Exception:
    if lease:
        return LeaseLost(lease.run_id)
    return RunNotFound(run_id) if run_id else TransactionConflict("the call was not stored")


async def _why_not(session: WriteSession, call_id: UUID, lease: Lease | None) -> Exception:
    run, token = (lease.run_id, lease.token) if lease else (None, None)
    row = await session.fetch_one(STANDING, {"id": call_id, "run_id": run, "token": token})
    if lease and not (row and row["held"]):
        return LeaseLost(lease.run_id)
    if row is None or row["status"] in {None, ToolCallStatus.RUNNING}:
        return ToolCallNotFound(call_id)
    return ToolCallEnded(call_id, status=row["status"])


def _to_call(row: Row) -> ToolCall:
    return ToolCall(**{**row, "status": ToolCallStatus(row["status"])})
