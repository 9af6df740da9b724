"""Both windows against a list of everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_resilience.windows import SLICES, CountWindow, TimeWindow

EVENTS = st.lists(st.tuples(st.floats(0, 4), st.booleans(), st.booleans()), max_size=80)


@given(EVENTS)
def test_a_count_window_holds_the_last_outcomes_none_too_old(events) -> None:
    window, everything, now = CountWindow(7, within=6.0), [], 50.0
    for pause, failed, slow in events:
        now += pause
        window.add(now, failed=failed, slow=slow)
        everything.append((now, failed, slow))
        known = [event for event in everything[-7:] if event[0] >= now - 6.0]
        assert (window.calls, window.failed, window.slow) == (
            len(known),
            sum(event[1] for event in known),
            sum(event[2] for event in known),
        )


@given(EVENTS)
def test_a_time_window_forgets_whole_slices_and_nothing_younger_than_nine_tenths(events) -> None:
    window, everything, now, width = TimeWindow(5.0), [], 1000.0, 0.5
    for pause, failed, slow in events:
        now += pause
        window.add(now, failed=failed, slow=slow)
        everything.append((now, failed, slow))
        oldest = now // width - SLICES + 1
        known = [event for event in everything if event[0] // width >= oldest]
        assert (window.calls, window.failed, window.slow) == (
            len(known),
            sum(event[1] for event in known),
            sum(event[2] for event in known),
        )
        assert len(window._slices) == SLICES


@pytest.mark.parametrize("window", [CountWindow(3, 10.0), TimeWindow(10.0)])
def test_a_cleared_window_has_forgotten_everything(window) -> None:
    for now in (1.0, 2.0, 30.0):
        window.add(now, failed=True, slow=True)
    window.clear()
    assert (window.calls, window.failed, window.slow) == (0, 0, 0)
    window.add(31.0, failed=False, slow=True)
    assert (window.calls, window.failed, window.slow) == (1, 0, 1)
