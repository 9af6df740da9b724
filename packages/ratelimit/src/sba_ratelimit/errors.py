"""What asking for a decision can fail with; an outage is never one of them.

RateLimitError
└── CostTooLarge      no amount of waiting would let it through
"""

from __future__ import annotations


class RateLimitError(Exception):
    """Anything this package raises."""


class CostTooLarge(RateLimitError, ValueError):
    """The cost is above a limit's burst, so that it could never be admitted.

    Attributes:
        name: The limit.
        cost: Units asked for.
        burst: Units that can ever be had at once.
    """

    def __init__(self, name: str, cost: int, burst: int) -> None:
        super().__init__(f"cost {cost} can never be admitted by limit {name!r} with burst {burst}")
        self.name = name
        self.cost = cost
        self.burst = burst
