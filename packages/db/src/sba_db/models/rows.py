"""The rows of schema `service`, one frozen dataclass a table, fields named as the columns are.

Generated from schema.prisma by `python -m tools.prisma generate`; do not edit.
"""

# schema.prisma sha256 d5e6b919ff4203d3394c4ae4741599e1880594a3fd76284accc4cd423b57d19e

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sba_db.models.enums import HealthStatus, RunStatus, StepStatus, ToolCallStatus

Json = Any


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
    """One call of a tool, by a user or by a run; a trigger checks that a step it names is one of its run.

    `arguments`, `result` and `error` are stored without secrets. `attempt` is the run's attempt under whose
    lease the call was made, None without one. `created_at` is its start, or its end if it was logged as a
    whole; `finished_at` is None while it runs, and of calls from before there were starts. `duration_ms` is
    None unless it succeeded or failed.
    """

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
    duration_ms: int | None
    created_at: datetime
    attempt: int | None
    finished_at: datetime | None


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
    """A request that was accepted under a key, and what it made or answered."""

    tenant_id: UUID
    operation: str
    key: str
    request_hash: str
    resource_id: UUID | None
    created_at: datetime
    expires_at: datetime
    outcome: Json


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
class AuditPending:
    """An audit row that waits for its seal."""

    tenant_id: UUID
    audit_id: UUID


@dataclass(frozen=True, slots=True)
class AuditSeal:
    """The place of one audit row in its tenant's hash chain; `position` counts from 1 without holes.

    `row_hash` is the digest of the audit row, None if it was gone before it was sealed; `hash` also covers
    the seal before.
    """

    tenant_id: UUID
    position: int
    audit_id: UUID
    row_hash: bytes | None
    hash: bytes
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class AuditCheckpoint:
    """Written before audit rows with an id below `before_id` are dropped.

    Up to `position`, where the chain has `hash`, it consists of such rows alone.
    """

    tenant_id: UUID
    before_id: UUID
    position: int
    hash: bytes
    created_by: str
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
