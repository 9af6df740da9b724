"""The rows of schema `service`, what repositories answer besides, and how the tables are described.

`enums`, `rows` and `tables` are generated from `prisma/schema.prisma`; the rest is written by hand.
"""

from sba_db.models.enums import HealthStatus, RunStatus, StepStatus, ToolCallStatus
from sba_db.models.rows import (
    AgentRun,
    AgentStep,
    AuditLog,
    AuditSeal,
    IdempotencyKey,
    Json,
    RunEvent,
    SystemHealth,
    ToolCall,
    UsageMetric,
)
from sba_db.models.values import CreatedRun, Lease, Page

__all__ = [
    "AgentRun",
    "AgentStep",
    "AuditLog",
    "AuditSeal",
    "CreatedRun",
    "HealthStatus",
    "IdempotencyKey",
    "Json",
    "Lease",
    "Page",
    "RunEvent",
    "RunStatus",
    "StepStatus",
    "SystemHealth",
    "ToolCall",
    "ToolCallStatus",
    "UsageMetric",
]
