"""Points in time that callers filter by, and the ids of about that time."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sba_db.cursors import NEWEST
from sba_db.errors import InvalidValue

CLOCKS_APART: Final = 3600
"""Seconds that the clock of who makes ids and the database's clock may differ by, at most."""

_MILLISECONDS_AT: Final = 80


def moment(field: str, value: datetime | None) -> datetime | None:
    """The value itself, when it says which point in time it means.

    Raises:
        InvalidValue: It has no time zone.
    """
    if value is not None and value.utcoffset() is None:
        raise InvalidValue("has no time zone", field=field)
    return value


def least_id(since: datetime | None) -> UUID:
    """What the ids of rows from `since` on are not below."""
    return UUID(int=0) if since is None else _id_at(since.timestamp() - CLOCKS_APART)


def greatest_id(until: datetime | None) -> UUID:
    """What the ids of rows before `until` are not above."""
    return NEWEST if until is None else _id_at(until.timestamp() + CLOCKS_APART)


def _id_at(seconds: float) -> UUID:
    return UUID(int=max(0, round(seconds * 1000)) << _MILLISECONDS_AT)
