"""Taking a run in: the run, its first event, its audit row and its job commit together or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, LiteralString
from uuid import UUID

from sba_db import agent_runs, audit_logs
from sba_db.models import CreatedRun
from sba_db.sessions import TenantSession
from sba_telemetry import traces

DEFER: Final[LiteralString] = (
    "select queue.defer_run(%(tenant)s::uuid, %(run_id)s::uuid, %(traceparent)s::text) as job_id"
)


async def submit_run(
    session: TenantSession,
    *,
    user_id: UUID,
    prompt: str,
    options: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    request_id: str | None = None,
) -> CreatedRun:
    """Accept a run in the caller's transaction; a worker takes it up once that has committed.

    A replay of an idempotent request neither queues nor audits anything.

    Args:
        session: The transaction of the run's tenant.
        user_id: Who asks.
        prompt: What is asked.
        options: How to answer it.
        idempotency_key: Makes a repeated request answer with the first one's run.
        request_id: Of the request that asks, for the audit.

    Returns:
        The run; `replayed` tells whether it was there before.

    Raises:
        IdempotencyConflict: The key belongs to another request.
        PayloadTooLarge: Names the field.
    """
    run = await agent_runs.create_run(
        session, user_id=user_id, prompt=prompt, options=options, idempotency_key=idempotency_key
    )
    if run.replayed:
        return run
    await audit_logs.write_audit(
        session,
        actor_id=user_id,
        action="run.submitted",
        resource_type="agent_run",
        resource_id=str(run.id),
        after={"status": run.status.value},
        request_id=request_id,
    )
    await enqueue(session, run.id)
    return run


async def enqueue(session: TenantSession, run_id: UUID) -> int:
    """Queue the job that executes a run, in the caller's transaction, with the current trace.

    Args:
        session: The transaction of the run's tenant.
        run_id: The run.

    Returns:
        The job's id.
    """
    values = {"run_id": run_id, "traceparent": traces.inject().get("traceparent")}
    row = await session.fetch_one(DEFER, values)
    return int(row["job_id"]) if row else 0
