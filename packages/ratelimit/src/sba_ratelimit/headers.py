"""Header fields of draft-ietf-httpapi-ratelimit-headers-10."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sba_ratelimit.decision import Decision


def render(decision: Decision) -> list[tuple[str, str]]:
    """Name and value of each field; a decision taken without Redis never speaks of a quota."""
    fields = []
    if decision.limits and not decision.outage:
        policies = [state.limit.quota.policy for state in decision.limits]
        states = [
            f'"{state.limit.quota.name}";r={state.remaining};t={math.ceil(state.reset_after)}'
            for state in decision.limits
        ]
        fields = [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(states))]
    if not decision.allowed:
        fields.append(("Retry-After", str(max(1, math.ceil(decision.retry_after)))))
    return fields
