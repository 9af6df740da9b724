"""The rows of schema `service`, one frozen dataclass a table, fields named as the columns are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

T = TypeVar("T")

Json = Any


class RunStatus(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """True once nothing more will happen to the run."""
        return self not in {RunStatus.QUEUED, RunStatus.RUNNING}


class StepStatus(StrEnum):
    """How a step ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class ToolCallStatus(StrEnum):
    """How a tool call ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class HealthStatus(StrEnum):
    """What a component says of itself."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One execution of an agent.

    `attempt` counts claims, `lease_token` fences writes of earlier claims, `step_seq` and `event_seq` are the
    last sequence numbers given out, `duration_ms` is in milliseconds.
    """

    tenant_id: UUID
    id: UUID
    user_id: UUID
    status: RunStatus
    prompt: str
    options: dict[str, Json]
    result: Json
    error: Json
    attempt: int
    lease_token: int
    lease_holder: str | None
    lease_expires_at: datetime | None
    step_seq: int
    event_seq: int
    duration_ms: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreatedRun(AgentRun):
    """A run as `create_run` answers it; `replayed` is True when the idempotency key had made it before."""

    replayed: bool = False


@dataclass(frozen=True, slots=True)
class AgentStep:
    """One committed step of a run; `seq` counts from 1 without holes."""

    tenant_id: UUID
    id: UUID
    run_id: UUID
    seq: int
    attempt: int
    kind: str
    name: str
    status: StepStatus
    input: Json
    output: Json
    error: Json
    duration_ms: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, by a run's step or by a user directly."""

    tenant_id: UUID
    id: UUID
    run_id: UUID | None
    step_id: UUID | None
    user_id: UUID | None
    name: str
    status: ToolCallStatus
    arguments: Json
    result: Json
    error: Json
    duration_ms: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that happened to a run; `seq` counts from 1 without holes."""

    tenant_id: UUID
    run_id: UUID
    seq: int
    type: str
    data: Json
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A request that was accepted under a key, and what it made."""

    tenant_id: UUID
    operation: str
    key: str
    request_hash: str
    resource_id: UUID
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuditLog:
    """Who did what to which resource, written in the transaction of the change."""

    tenant_id: UUID
    id: UUID
    actor_id: UUID | None
    action: str
    resource_type: str
    resource_id: str
    before: Json
    after: Json
    request_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class UsageMetric:
    """How much of something a tenant used in one hour, `period` being the hour's start in UTC."""

    tenant_id: UUID
    period: datetime
    metric: str
    value: Decimal
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """What a component reported of itself; belongs to no tenant."""

    id: UUID
    component: str
    status: HealthStatus
    detail: dict[str, Json]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a run until another claim raises its token."""

    run_id: UUID
    tenant_id: UUID
    token: int
    holder: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` is None on the last."""

    items: tuple[T, ...]
    next_cursor: str | None
