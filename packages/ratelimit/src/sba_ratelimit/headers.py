"""Header fields of draft-ietf-httpapi-ratelimit-headers-10."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sba_ratelimit.decision import Decision


def render(decision: Decision) -> Iterator[tuple[str, str]]:
    """Name and value of each field; a decision taken without Redis never speaks of a quota."""
    if decision.limits and not decision.outage:
        yield (
            "RateLimit-Policy",
            ", ".join(
                f'"{state.limit.name}";q={state.limit.count};w={math.ceil(state.limit.per)}'
                for state in decision.limits
            ),
        )
        yield (
            "RateLimit",
            ", ".join(
                f'"{state.limit.name}";r={state.remaining};t={math.ceil(state.reset_after)}'
                for state in decision.limits
            ),
        )
    if not decision.allowed:
        yield "Retry-After", str(max(1, math.ceil(decision.retry_after)))
