"""What is written on a socket reads like what HTTP answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sba_ws import packets

AT = datetime(2026, 11, 1, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize("at", [AT, AT.astimezone(timezone(timedelta(hours=7)))])
def test_a_moment_is_in_utc_and_ends_in_z(at: datetime) -> None:
    assert packets.moment(at) == "2026-11-01T08:30:00Z"
