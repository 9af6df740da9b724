"""Ids that sort by the time they were made, on every Postgres version."""

from __future__ import annotations

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new UUID version 7: unique everywhere, ascending in one process."""
    return uuid7()
