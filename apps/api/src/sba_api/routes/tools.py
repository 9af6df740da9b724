"""Tools: what there is, and one execution, logged."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter

from sba_agents.errors import ToolFailed
from sba_agents.registry import ToolDescription
from sba_agents.tools.tool import ToolContext
from sba_api import schemas
from sba_api.answers import JsonAnswer
from sba_api.dependencies import Caller, CurrentCaller
from sba_api.problems import ProblemError, not_found, tool_failed
from sba_api.routing import TenantRoute
from sba_db import agent_runs, audit_logs, tool_calls
from sba_db.models import ToolCall
from sba_db.sessions import TenantSession

router = APIRouter(route_class=TenantRoute, tags=["tools"])


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: dict[str, Any] | None
    failure: ToolFailed | None
    duration_ms: int


@router.get("/v1/tools", response_model=schemas.Page[schemas.Tool])
async def list_tools(caller: CurrentCaller) -> JsonAnswer:
    """Every tool with the JSON schema of its arguments, on one page."""
    await caller.verify()
    items = [_tool_document(tool) for tool in caller.resources.tools.describe()]
    return JsonAnswer({"items": items, "next_cursor": None})


@router.post("/v1/tools/{name}/execute", response_model=schemas.ToolResult)
async def execute_tool(caller: CurrentCaller, name: str, body: schemas.ExecuteTool) -> JsonAnswer:
    """Run one tool. The call is logged and audited whether it succeeds or fails."""
    await _require_access(caller, body.run_id)
    outcome = await _run(caller, name, body)
    call = await _record(caller, name, body, outcome)
    if outcome.failure is not None:
        raise ProblemError(tool_failed(outcome.failure))
    return JsonAnswer(
        {
            "call_id": call.id,
            "name": name,
            "status": call.status,
            "result": outcome.result,
            "duration_ms": outcome.duration_ms,
        }
    )


async def _require_access(caller: Caller, run_id: UUID | None) -> None:
    if run_id is None:
        await caller.verify()
    elif await agent_runs.get_run(caller.reader(), run_id) is None:
        raise ProblemError(not_found("run"))


async def _run(caller: Caller, name: str, body: schemas.ExecuteTool) -> _Outcome:
    context = ToolContext(reader=caller.reader(), user_id=caller.user_id, run_id=body.run_id)
    started = time.perf_counter()
    result: dict[str, Any] | None = None
    failure: ToolFailed | None = None
    try:
        result = await caller.resources.tools.execute(name, body.arguments, context)
    except ToolFailed as error:
        failure = error
    return _Outcome(result, failure, round((time.perf_counter() - started) * 1_000))


async def _record(caller: Caller, name: str, body: schemas.ExecuteTool, outcome: _Outcome) -> ToolCall:
    failure = outcome.failure

    async def log(session: TenantSession) -> ToolCall:
        call = await tool_calls.log_tool_call(
            session,
            name=name,
            arguments=body.arguments,
            result=outcome.result,
            error={"code": failure.code, "message": failure.message} if failure else None,
            status="failed" if failure else "succeeded",
            duration_ms=outcome.duration_ms,
            run_id=body.run_id,
            user_id=caller.user_id,
        )
        await audit_logs.write_audit(
            session,
            actor_id=caller.user_id,
            action="tool.execute",
            resource_type="tool_call",
            resource_id=str(call.id),
            after={"name": name, "status": call.status},
            request_id=caller.request_id,
        )
        return call

    return await caller.write(log)


def _tool_document(tool: ToolDescription) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "arguments": tool.parameters}
