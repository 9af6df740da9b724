"""Names of partitions, and from which id on there can be rows of a run."""

from __future__ import annotations

import uuid
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from sba_db import new_id
from sba_db.moments import CLOCKS_APART
from sba_db.months import least_id_after
from sba_db.partitions import Partition

MILLISECONDS = st.integers(0, 2**48 - 1)


def test_a_partition_is_named_for_its_table_and_month():
    assert Partition("run_events", date(2026, 3, 1)).name == "run_events_2026_03"


@given(MILLISECONDS, MILLISECONDS)
def test_what_is_made_after_a_run_by_a_clock_that_is_an_hour_late_is_not_below(run, later):
    def made_at(milliseconds: int) -> uuid.UUID:
        return uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)

    least = least_id_after(made_at(run))

    assert (made_at(later) >= least) == (later >= run - CLOCKS_APART * 1000)


def test_an_id_that_tells_no_time_excludes_nothing():
    assert least_id_after(uuid.uuid4()) == uuid.UUID(int=0)
    assert uuid.UUID(int=0) < least_id_after(new_id()) < new_id()
