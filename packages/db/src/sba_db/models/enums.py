"""The enumerations of schema `service`.

Generated from schema.prisma by `python -m tools.prisma generate`; do not edit.
"""

# schema.prisma sha256 59389a8b199e5cd74d83ab36df1b87a64c6ff3b08e3a2b5b5189df93469aa887

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
