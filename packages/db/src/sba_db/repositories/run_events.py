"""Events: everything that happened to a run, numbered without holes, never changed."""
# ruff: noqa: S608 - composed of this module's own constants; values are always bound

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, LiteralString
from uuid import UUID

from sba_db import payloads
from sba_db.errors import LeaseLost, RunNotFound
from sba_db.method import repository_method
from sba_db.models import Json, Lease, RunEvent
from sba_db.repositories.agent_runs import HELD
from sba_db.sessions import ReadSession, WriteSession

MOST_READ: Final = 1000

COLUMNS: Final[LiteralString] = "e.tenant_id, e.run_id, e.seq, e.type, e.data, e.created_at"
_INSERT: Final[LiteralString] = f"""
insert into service.run_events as e (tenant_id, run_id, seq, type, data)
select %(tenant)s, %(run_id)s, run.event_seq, %(type)s, %(data)s::jsonb from run
returning {COLUMNS}
"""
APPEND: Final[LiteralString] = f"""
with run as (
    update service.agent_runs r set event_seq = r.event_seq + 1
    where r.tenant_id = %(tenant)s and r.id = %(run_id)s
    returning r.event_seq
) {_INSERT}
"""
APPEND_LEASED: Final[LiteralString] = f"""
with run as (
    update service.agent_runs r set event_seq = r.event_seq + 1 where {HELD} returning r.event_seq
) {_INSERT}
"""
READ: Final[LiteralString] = f"""
select {COLUMNS} from service.run_events e
where e.tenant_id = %(tenant)s and e.run_id = %(run_id)s and e.seq > %(after)s
order by e.seq limit %(limit)s
"""


@repository_method
async def append_event(
    session: WriteSession,
    *,
    run_id: UUID,
    type: str,  # noqa: A002 - the column's name
    data: Mapping[str, Json],
    lease: Lease | None = None,
) -> RunEvent:
    """Store the run's next event; concurrent writers take turns on the run's row.

    Args:
        session: The transaction to store it in.
        run_id: Which run.
        type: Such as `step.finished`, up to 100 bytes.
        data: A small JSON object, up to 64 KiB.
        lease: The right to write to the run, for what its worker reports.

    Raises:
        LeaseLost: The run was taken over, cancelled or finished; nothing was written.
        RunNotFound: The tenant has no such run.
        PayloadTooLarge: A field over its limit.
        InvalidValue: A field that cannot be stored.
    """
    params = {
        "run_id": run_id,
        "token": lease.token if lease else None,
        "type": payloads.text("type", type, limit=payloads.WORD),
        "data": payloads.mapping("data", data, limit=payloads.EVENT),
    }
    row = await session.fetch_one(APPEND_LEASED if lease else APPEND, params)
    if row is None:
        raise LeaseLost(run_id) if lease else RunNotFound(run_id)
    return RunEvent(**row)


@repository_method
async def read_events(
    reader: ReadSession, run_id: UUID, *, after: int = 0, limit: int = 500
) -> list[RunEvent]:
    """The run's events with `seq > after`, in order, at most `limit` (1 to 1000) of them.

    Raises:
        InvalidValue: The limit is out of range.
    """
    params = {"run_id": run_id, "after": after, "limit": payloads.page_size(limit, most=MOST_READ)}
    return [RunEvent(**row) for row in await reader.fetch_all(READ, params)]
