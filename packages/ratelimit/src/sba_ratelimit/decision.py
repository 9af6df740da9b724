"""The answer to a check, and what to tell the client."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sba_ratelimit import headers
from sba_ratelimit.limit import Limit


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit after a check.

    Attributes:
        limit: Which one.
        remaining: Whole units left now.
        reset_after: Seconds until all units are back.
        retry_after: Seconds until this limit would admit the same cost; 0 when it does.
    """

    limit: Limit
    remaining: int
    reset_after: float
    retry_after: float


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it may run now.

    Attributes:
        allowed: All limits admit it, and its cost was taken from each; otherwise from none.
        limits: The enforced limits that were counted; empty when an outage left nothing to count with. A
            refusal from memory names only those that refuse.
        retry_after: Seconds until the same check could succeed; 0 when allowed.
        outage: Redis did not answer: a refusal then is a failure of ours, not a spent quota.
        shadowed: Shadow limits that would have refused; their cost was not taken.
        taken_at: When the cost was taken, in microseconds of the clock that counted it: the server's, or in
            an outage this process's. None when nothing was taken. `Limiter.refund` needs it.
    """

    allowed: bool
    limits: tuple[LimitState, ...]
    retry_after: float = 0.0
    outage: bool = False
    shadowed: tuple[LimitState, ...] = ()
    taken_at: int | None = field(default=None, compare=False)

    @property
    def remaining(self) -> int | None:
        """Units left on the tightest limit; None when nothing was counted."""
        return min((state.remaining for state in self.limits), default=None)

    def headers(self) -> list[tuple[str, str]]:
        """`RateLimit-Policy` and `RateLimit` (IETF draft), and `Retry-After` when refused."""
        return headers.render(self)


def together(states: Iterable[LimitState], *, outage: bool = False, taken_at: int | None = None) -> Decision:
    """All of them, or none; a shadow limit has no say."""
    enforced, shadowed, wait = [], [], 0.0
    for state in states:
        if state.limit.quota.shadow:
            if state.retry_after > 0:
                shadowed.append(state)
            continue
        enforced.append(state)
        wait = max(wait, state.retry_after)
    allowed = wait == 0
    return Decision(allowed, tuple(enforced), wait, outage, tuple(shadowed), taken_at if allowed else None)
