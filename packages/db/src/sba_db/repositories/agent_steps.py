"""Steps: what a run has done so far, numbered without holes."""
# ruff: noqa: S608 - composed of this module's own constants; values are always bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

from sba_db import payloads
from sba_db.errors import InvalidValue, LeaseLost, PayloadTooLarge
from sba_db.ids import new_id
from sba_db.method import repository_method
from sba_db.models import AgentStep, Json, Lease, StepStatus
from sba_db.plans import Row
from sba_db.repositories.agent_runs import HELD, held_by
from sba_db.sessions import ReadSession, WriteSession

MOST_APPENDED: Final = 1_000
MOST_READ: Final = 1_000
BATCH: Final = 8 * 1024 * payloads.KIB

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
APPEND_MANY: Final[LiteralString] = f"""
with run as (
    update service.agent_runs r set step_seq = r.step_seq + %(count)s::integer where {HELD}
    returning r.step_seq - %(count)s::integer as before, r.attempt
)
insert into service.agent_steps as s
    (tenant_id, id, run_id, seq, attempt, kind, name, status, input, output, error, duration_ms)
select %(tenant)s, given.id, %(run_id)s, run.before + given.place, run.attempt, given.kind, given.name,
       given.status::service.step_status, given.input::jsonb, given.output::jsonb, given.error::jsonb,
       given.duration_ms::integer
from run, unnest(
    %(ids)s::uuid[], %(kinds)s::text[], %(names)s::text[], %(statuses)s::text[], %(inputs)s::text[],
    %(outputs)s::text[], %(errors)s::text[], %(durations)s::text[]
) with ordinality as given (id, kind, name, status, input, output, error, duration_ms, place)
returning {COLUMNS}
"""
ARRAYS: Final = {
    "kind": "kinds",
    "name": "names",
    "status": "statuses",
    "input": "inputs",
    "output": "outputs",
    "error": "errors",
}
LIST: Final[LiteralString] = f"""
select {COLUMNS} from service.agent_steps s
where s.tenant_id = %(tenant)s and s.run_id = %(run_id)s and s.seq > %(after)s
order by s.seq limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step that is yet to be stored; its fields are the arguments of `append_step`."""

    kind: str
    input: Json
    output: Json
    name: str | None = None
    status: StepStatus | str = StepStatus.SUCCEEDED
    error: Json = None
    duration_ms: int | None = None


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
    step = NewStep(kind, input, output, name, status, error, duration_ms)
    params = {"id": new_id(), "duration_ms": duration_ms, **_checked(step)}
    row = await session.fetch_one(APPEND, params | held_by(lease))
    if row is None:
        raise LeaseLost(lease.run_id)
    return _to_step(row)


@repository_method
async def append_steps(session: WriteSession, *, lease: Lease, steps: Sequence[NewStep]) -> list[AgentStep]:
    """Store the run's next steps in the order given, with one statement: all of them or none.

    Args:
        session: The transaction to store them in.
        lease: The right to write to the run.
        steps: 1 to 1,000 steps whose texts and documents take up to 8 MiB together.

    Raises:
        LeaseLost: The run was taken over, cancelled or finished; nothing was written.
        PayloadTooLarge: A field over its limit, or all of them over theirs.
        InvalidValue: A field that cannot be stored, no steps, or too many.
    """
    if not 1 <= len(steps) <= MOST_APPENDED:
        raise InvalidValue(f"must be between 1 and {MOST_APPENDED}", field="steps")
    checked = [_checked(step) for step in steps]
    _together(checked)
    params: dict[str, object] = {"count": len(steps), "ids": [new_id() for _ in steps]}
    params |= {many: [one[field] for one in checked] for field, many in ARRAYS.items()}
    params["durations"] = [None if step.duration_ms is None else str(step.duration_ms) for step in steps]
    rows = await session.fetch_all(APPEND_MANY, params | held_by(lease))
    if not rows:
        raise LeaseLost(lease.run_id)
    return sorted(map(_to_step, rows), key=lambda step: step.seq)


@repository_method
async def list_steps(
    reader: ReadSession, run_id: UUID, *, after: int = 0, limit: int | None = None
) -> list[AgentStep]:
    """The run's steps in order; none for a run the tenant does not have.

    A step takes up to half a mebibyte: whoever answers others asks for so many at a time.

    Args:
        reader: The session to read with.
        run_id: Which run.
        after: Only steps with a greater `seq`.
        limit: At most so many, 1 to 1,000; all when None.

    Raises:
        InvalidValue: The limit is out of range.
    """
    size = None if limit is None else payloads.page_size(limit, most=MOST_READ)
    rows = await reader.fetch_all(LIST, {"run_id": run_id, "after": after, "limit": size})
    return [_to_step(row) for row in rows]


def _checked(step: NewStep) -> dict[str, str | None]:
    name = step.kind if step.name is None else step.name
    return {
        "kind": payloads.text("kind", step.kind, limit=payloads.WORD),
        "name": payloads.text("name", name, limit=payloads.NAME),
        "status": payloads.choice("status", step.status, StepStatus),
        "input": payloads.document("input", step.input, limit=payloads.DOCUMENT),
        "output": payloads.optional_document("output", step.output, limit=payloads.DOCUMENT),
        "error": payloads.optional_document("error", step.error, limit=payloads.ERROR),
    }


def _together(checked: Sequence[dict[str, str | None]]) -> None:
    size = sum(len(value.encode()) for one in checked for value in one.values() if value)
    if size > BATCH:
        raise PayloadTooLarge(field="steps", limit=BATCH, size=size)


def _to_step(row: Row) -> AgentStep:
    return AgentStep(**{**row, "status": StepStatus(row["status"])})
