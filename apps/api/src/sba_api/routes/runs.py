"""Runs: submit, read, follow, cancel."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query

from sba_agents import events
from sba_agents.submission import submit_run
from sba_api import schemas
from sba_api.answers import JsonAnswer
from sba_api.dependencies import Caller, CurrentCaller, path_id
from sba_api.pages import Cursor, PageSize, page_document
from sba_api.problems import ProblemError, not_found
from sba_api.routing import TenantRoute
from sba_db import InvalidCursor, agent_runs, agent_steps, audit_logs, run_events
from sba_db.models import AgentRun, AgentStep, CreatedRun, RunEvent, RunStatus
from sba_db.sessions import TenantSession

router = APIRouter(route_class=TenantRoute, tags=["runs"])

_MAX_SEQ = 2_147_483_647
_CANCELLED = "run.cancelled"
_NO_RUN = not_found("run")

IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")
]


@router.get("/v1/runs/{run_id}", response_model=schemas.Run)
async def get_run(caller: CurrentCaller, run_id: str) -> JsonAnswer:
    """One run."""
    run = await agent_runs.get_run(caller.reader(), path_id(run_id, "run"))
    if run is None:
        raise ProblemError(_NO_RUN)
    return JsonAnswer(run_document(run))


@router.post("/v1/runs", status_code=202, response_model=schemas.Run)
async def create_run(
    caller: CurrentCaller, body: schemas.CreateRun, idempotency_key: IdempotencyKey = None
) -> JsonAnswer:
    """Submit a run. The same key and body answer the same run again; another body is a conflict."""

    async def submit(session: TenantSession) -> CreatedRun:
        return await submit_run(
            session,
            user_id=caller.user_id,
            prompt=body.prompt,
            options=body.options,
            idempotency_key=idempotency_key,
            request_id=caller.request_id,
        )

    run = await caller.write(submit, idempotent=idempotency_key is not None)
    headers = {"Location": f"/v1/runs/{run.id}"}
    if run.replayed:
        headers["Idempotency-Replayed"] = "true"
    return JsonAnswer(run_document(run), status=202, headers=headers)


@router.get("/v1/runs", response_model=schemas.Page[schemas.Run])
async def list_runs(
    caller: CurrentCaller, limit: PageSize = 50, cursor: Cursor = None, status: RunStatus | None = None
) -> JsonAnswer:
    """Runs, newest first."""
    page = await agent_runs.list_runs(caller.reader(), status=status, limit=limit, cursor=cursor)
    return JsonAnswer(page_document(page, run_document))


@router.get("/v1/runs/{run_id}/steps", response_model=schemas.Page[schemas.Step])
async def list_steps(
    caller: CurrentCaller, run_id: str, limit: PageSize = 50, cursor: Cursor = None
) -> JsonAnswer:
    """A run's committed steps, in order."""
    found = path_id(run_id, "run")
    steps = await agent_steps.list_steps(caller.reader(), found, after=_seq(cursor), limit=limit + 1)
    if not steps:
        await _require_run(caller, found)
    page = steps[:limit]
    last = str(page[-1].seq) if len(steps) > limit else None
    return JsonAnswer({"items": [_step_document(step) for step in page], "next_cursor": last})


@router.get("/v1/runs/{run_id}/events", response_model=schemas.Events)
async def read_events(
    caller: CurrentCaller,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=_MAX_SEQ)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
) -> JsonAnswer:
    """A run's events after a sequence number, in order."""
    found = path_id(run_id, "run")
    found_events = await run_events.read_events(caller.reader(), found, after=after, limit=limit)
    if not found_events:
        await _require_run(caller, found)
    items = [_event_document(event) for event in found_events]
    return JsonAnswer({"items": items, "next_after": found_events[-1].seq if found_events else after})


@router.post("/v1/runs/{run_id}/cancel", response_model=schemas.Run)
async def cancel_run(caller: CurrentCaller, run_id: str) -> JsonAnswer:
    """Stop a run that has not finished."""
    found = path_id(run_id, "run")

    async def cancel(session: TenantSession) -> tuple[AgentRun, RunEvent | None]:
        run = await agent_runs.cancel_run(session, run_id=found)
        return run, await _note_cancellation(session, caller, run)

    run, event = await caller.write(cancel)
    if event is not None:
        await events.publish(caller.resources.redis, [event])
    return JsonAnswer(run_document(run))


async def _note_cancellation(session: TenantSession, caller: Caller, run: AgentRun) -> RunEvent | None:
    last = await run_events.read_events(session, run.id, after=run.event_seq - 1)
    if last and last[-1].type == _CANCELLED:
        return None
    await audit_logs.write_audit(
        session,
        actor_id=caller.user_id,
        action=_CANCELLED,
        resource_type="agent_run",
        resource_id=run.id,
        after={"status": run.status},
        request_id=caller.request_id,
    )
    return await run_events.append_event(session, run_id=run.id, type=_CANCELLED, data={})


def _seq(cursor: str | None) -> int:
    """The sequence number a page of steps ended with."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()) or int(cursor) > _MAX_SEQ:
        raise InvalidCursor
    return int(cursor)


async def _require_run(caller: Caller, run_id: UUID) -> None:
    if await agent_runs.get_run(caller.reader(), run_id) is None:
        raise ProblemError(_NO_RUN)


def run_document(run: AgentRun) -> dict[str, Any]:
    """A run as clients see it."""
    return {
        "id": run.id,
        "status": run.status,
        "prompt": run.prompt,
        "options": run.options,
        "result": run.result,
        "error": run.error,
        "user_id": run.user_id,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_ms": run.duration_ms,
    }


def _step_document(step: AgentStep) -> dict[str, Any]:
    return {
        "id": step.id,
        "run_id": step.run_id,
        "seq": step.seq,
        "kind": step.kind,
        "name": step.name,
        "status": step.status,
        "input": step.input,
        "output": step.output,
        "error": step.error,
        "duration_ms": step.duration_ms,
        "created_at": step.created_at,
    }


def _event_document(event: RunEvent) -> dict[str, Any]:
    return {
        "run_id": event.run_id,
        "seq": event.seq,
        "type": event.type,
        "data": event.data,
        "at": event.created_at,
    }
