"""The enumerations of schema `service`.

Generated from schema.prisma by `python -m tools.prisma generate`; do not edit.
"""

# schema.prisma sha256 743b9b5167353ede9fb3e19e2b1015671d4529008ebe4907b8228b12f2e66418

from __future__ import annotations

from enum import StrEnum

from sba_db.models.lifecycle import Lifecycle


class RunStatus(Lifecycle):
    """Where a run is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


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
