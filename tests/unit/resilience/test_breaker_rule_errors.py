"""A rule that fails may not keep a permit."""

from __future__ import annotations

import pytest

from sba_resilience import Breaker, State
from sba_resilience.testing import FakeClock


def broken(_: BaseException) -> bool:
    raise KeyError("rule")


async def fail() -> None:
    raise OSError("down")


async def test_a_rule_that_raises_counts_a_failure_and_gives_the_permit_back(clock: FakeClock) -> None:
    breaker = Breaker("x", window=1, minimum_calls=1, open_for=1.0, is_failure=broken, clock=clock)
    for _ in range(3):
        with pytest.raises(OSError, match="down"):
            await breaker.call(fail)
        assert breaker.state is State.OPEN
        clock.advance(1.0)
