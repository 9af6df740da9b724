"""Steps: what a run has done so far, numbered without holes."""
# ruff: noqa: S608 - composed of this module's own constants; values are always bound

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from sba_db import payloads
from sba_db.errors import LeaseLost
from sba_db.ids import new_id
from sba_db.method import repository_method
from sba_db.models import AgentStep, Json, Lease, StepStatus
from sba_db.plans import Row
from sba_db.repositories.agent_runs import HELD, held_by
from sba_db.sessions import ReadSession, WriteSession

COLUMNS: Final[LiteralString] = """
    s.tenant_id, s.id, s.run_id, s.seq, s.attempt, s.kind, s.name, s.status, s.input, s.output, s.error,
    s.duration_ms, s.created_at
"""
APPEND: Final[LiteralString] = f"""
with run as (
    update service.agent_runs r set step_seq = r.step_seq + 1 where {HELD}
    returning r.step_seq, r.attempt
)
insert into service.agent_steps as s
    (tenant_id, id, run_id, seq, attempt, kind, name, status, input, output, error, duration_ms)
select %(tenant)s, %(id)s, %(run_id)s, run.step_seq, run.attempt, %(kind)s, %(name)s,
       %(status)s::service.step_status, %(input)s::jsonb, %(output)s::jsonb, %(error)s::jsonb, %(duration_ms)s
from run
returning {COLUMNS}
"""
LIST: Final[LiteralString] = f"""
select {COLUMNS} from service.agent_steps s
where s.tenant_id = %(tenant)s and s.run_id = %(run_id)s order by s.seq
"""


@repository_method
async def append_step(  # noqa: PLR0913 - one argument a column
    session: WriteSession,
    *,
    lease: Lease,
    kind: str,
    name: str | None = None,
    input: Json,  # noqa: A002 - the column's name
    output: Json,
    status: StepStatus | str = StepStatus.SUCCEEDED,
    error: Json = None,
    duration_ms: int | None = None,
) -> AgentStep:
    """Store the run's next step.

    Args:
        session: The transaction to store it in.
        lease: The right to write to the run.
        kind: What sort of step, up to 100 bytes.
        name: Which one, up to 200 bytes; the kind when None.
        input: JSON of up to 256 KiB.
        output: JSON of up to 256 KiB, or None.
        status: How it ended.
        error: JSON of up to 16 KiB, when it failed and only then.
        duration_ms: How long it took.

    Raises:
        LeaseLost: The run was taken over, cancelled or finished; nothing was written.
        PayloadTooLarge: A field over its limit.
        InvalidValue: A field that cannot be stored.
    """
    params = {
        "id": new_id(),
        "kind": payloads.text("kind", kind, limit=payloads.WORD),
        "name": payloads.text("name", kind if name is None else name, limit=payloads.NAME),
        "status": payloads.choice("status", status, StepStatus),
        "input": payloads.document("input", input, limit=payloads.DOCUMENT),
        "output": payloads.optional_document("output", output, limit=payloads.DOCUMENT),
        "error": payloads.optional_document("error", error, limit=payloads.ERROR),
        "duration_ms": duration_ms,
    }
    row = await session.fetch_one(APPEND, params | held_by(lease))
    if row is None:
        raise LeaseLost(lease.run_id)
    return _to_step(row)


@repository_method
async def list_steps(reader: ReadSession, run_id: UUID) -> list[AgentStep]:
    """The run's steps in order; none for a run the tenant does not have."""
    return [_to_step(row) for row in await reader.fetch_all(LIST, {"run_id": run_id})]


def _to_step(row: Row) -> AgentStep:
    return AgentStep(**{**row, "status": StepStatus(row["status"])})
