"""From which month on there can be rows of a run."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sba_db.moments import CLOCKS_APART

TIME_ORDERED: Final = 7
_MILLISECONDS_AT: Final = 80


def least_id_after(run_id: UUID) -> UUID:
    """What the ids of a run's rows are not below, so that older partitions need not be looked at.

    Args:
        run_id: Of version 7; about any other nothing can be said.
    """
    if run_id.version != TIME_ORDERED:
        return UUID(int=0)
    made = (run_id.int >> _MILLISECONDS_AT) - CLOCKS_APART * 1000
    return UUID(int=max(0, made) << _MILLISECONDS_AT)
