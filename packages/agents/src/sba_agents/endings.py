"""How a run ends: its status, its event, its audit row and its usage, in one transaction under the lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sba_agents.errors import Failed
from sba_agents.ledger import reason
from sba_agents.tools.tool import Json
from sba_db import agent_runs, audit_logs, run_events, usage_metrics
from sba_db.errors import InvalidInput
from sba_db.models import Lease, RunEvent, RunStatus
from sba_db.sessions import TenantSession


@dataclass(frozen=True, slots=True)
class Ending:
    """What a run ends with: a result, or an error.

    Attributes:
        result: What the runner returned.
        error: `{"code", "message"}`; None for a success.
    """

    result: Json | None = None
    error: Mapping[str, str] | None = None

    @property
    def status(self) -> RunStatus:
        """The status that says the same."""
        return RunStatus.FAILED if self.error else RunStatus.SUCCEEDED

    @property
    def told(self) -> dict[str, Any]:
        """What the event and the audit row say of it."""
        return {"error": dict(self.error)} if self.error else {}


def failed(failure: Failed) -> Ending:
    """The ending of a run with a stated reason."""
    return Ending(error=reason(failure))


def not_storable(error: InvalidInput) -> Ending:
    """The ending of a run whose outcome the database does not take."""
    return failed(Failed("result_not_storable", str(error)))


async def end_run(session: TenantSession, lease: Lease, ending: Ending, *, duration_ms: int) -> RunEvent:
    """End a run.

    Args:
        session: A transaction of the run's tenant.
        lease: The right to end it.
        ending: How.
        duration_ms: How long the attempt took.

    Returns:
        The run's last event, to be carried once the transaction has committed.

    Raises:
        LeaseLost: It was taken over, cancelled or has ended; nothing was written.
        InvalidInput: The result cannot be stored.
    """
    told = {"attempt": lease.attempt, "duration_ms": duration_ms, **ending.told}
    event = await run_events.append_event(
        session, run_id=lease.run_id, type=f"run.{ending.status}", data=told, lease=lease
    )
    if ending.error is None:
        await agent_runs.complete_run(session, lease=lease, result=ending.result, duration_ms=duration_ms)
    else:
        await agent_runs.fail_run(session, lease=lease, error=ending.error, duration_ms=duration_ms)
    await _audit(session, lease, ending)
    counted = {f"runs_{ending.status}": 1, "run_milliseconds": duration_ms}
    await usage_metrics.upsert_metrics(session, metrics=counted)
    return event


async def _audit(session: TenantSession, lease: Lease, ending: Ending) -> None:
    await audit_logs.write_audit(
        session,
        actor_id=None,
        action=f"run.{ending.status}",
        resource_type="agent_run",
        resource_id=lease.run_id,
        before={"status": RunStatus.RUNNING},
        after={"status": ending.status, **ending.told},
    )
