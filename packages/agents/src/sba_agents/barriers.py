"""Named points of an execution at which a test may stop, kill or delay it."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias
from uuid import UUID

Point: TypeAlias = Literal["claimed", "tool_started", "step_committed", "before_completion"]


class Barriers(Protocol):
    """Told when an execution reaches a point; it goes on when the call returns."""

    async def reach(self, point: Point, run_id: UUID) -> None:
        """Called at the point, outside any transaction."""
        ...


class NoBarriers:
    """Lets every execution pass: what production uses."""

    async def reach(self, point: Point, run_id: UUID) -> None:
        """Return at once."""
