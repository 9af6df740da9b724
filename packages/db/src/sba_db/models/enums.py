"""The enumerations of schema `service`.

Generated from schema.prisma by `python -m tools.prisma generate`; do not edit.
"""

# schema.prisma sha256 d5e6b919ff4203d3394c4ae4741599e1880594a3fd76284accc4cd423b57d19e

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
    """How a tool call stands; a `lost` one has nobody left to say how it ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"


class HealthStatus(StrEnum):
    """What a component says of itself."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
