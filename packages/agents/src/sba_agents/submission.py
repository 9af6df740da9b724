"""Taking a run in: the run, its first event, its audit row and its job commit together or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, LiteralString
from uuid import UUID

from sba_db import agent_runs, audit_logs, payloads
from sba_db.ids import new_id
from sba_db.method import repository_method
from sba_db.models import CreatedRun
from sba_db.plans import Row
from sba_db.sessions import TenantSession
from sba_telemetry import traces

DEFER: Final[LiteralString] = (
    "select queue.defer_run(%(tenant)s::uuid, %(run_id)s::uuid, %(traceparent)s::text) as job_id"
)
AUDIT_AND_DEFER: Final[LiteralString] = f"with audited as ({audit_logs.WRITE}) {DEFER} from audited"


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
    await _audit_and_enqueue(session, run_id=run.id, user_id=user_id, request_id=request_id)
    return run


@repository_method
async def _audit_and_enqueue(
    session: TenantSession, *, run_id: UUID, user_id: UUID, request_id: str | None
) -> int:
    """Both with one statement: each would cost a round trip of its own."""
    audit = {
        "id": new_id(),
        "actor_id": user_id,
        "action": "run.submitted",
        "resource_type": "agent_run",
        "resource_id": str(run_id),
        "before": None,
        "after": payloads.document("after", {"status": "queued"}, limit=payloads.EVENT),
        "request_id": payloads.optional_text("request_id", request_id, limit=payloads.NAME),
    }
    return _job_id(await session.fetch_all(AUDIT_AND_DEFER, audit | _job(run_id)))


async def enqueue(session: TenantSession, run_id: UUID) -> int:
    """Queue the job that executes a run, in the caller's transaction, with the current trace.

    Args:
        session: The transaction of the run's tenant.
        run_id: The run.

    Returns:
        The job's id.
    """
    return _job_id(await session.fetch_all(DEFER, _job(run_id)))


def _job(run_id: UUID) -> dict[str, object]:
    return {"run_id": run_id, "traceparent": traces.inject().get("traceparent")}


def _job_id(rows: list[Row]) -> int:
    return int(rows[0]["job_id"])
