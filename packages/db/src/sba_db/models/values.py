"""What repositories answer that is not simply a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from sba_db.models.rows import AgentRun

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CreatedRun(AgentRun):
    """A run as `create_run` answers it; `replayed` is True when the idempotency key had made it before."""

    replayed: bool = False


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
