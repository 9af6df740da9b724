"""What asking for a decision can fail with; an outage is never one of them.

RateLimitError
├── CostTooLarge      no amount of waiting would let it through
├── SlotsDiffer       a cluster cannot decide these limits together
└── DimensionMissing  a plan counts by something the call did not name
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


class SlotsDiffer(RateLimitError, ValueError):
    """Two limits checked together are stored on different nodes of a cluster.

    Attributes:
        one: A limit.
        other: One whose key begins differently.
    """

    def __init__(self, one: str, other: str) -> None:
        super().__init__(
            f"limits {one!r} and {other!r} lie in different hash slots: "
            "on a cluster, limits decided together share the first two parts of their keys"
        )
        self.one = one
        self.other = other


class DimensionMissing(RateLimitError, ValueError):
    """A plan counts by something the call did not name; None would have said that there is none.

    Attributes:
        name: The limit.
        dimension: What it counts by.
    """

    def __init__(self, name: str, dimension: str) -> None:
        super().__init__(f"limit {name!r} counts by {dimension!r}: pass {dimension}=…, or None for none")
        self.name = name
        self.dimension = dimension
