"""Keys known to be denied: answered here, without asking Redis again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sba_ratelimit.decision import Decision, LimitState, together
from sba_ratelimit.limit import Limit


@dataclass(frozen=True, slots=True)
class _Denial:
    state: LimitState
    cost: int
    at: float
    until: float


class DeniedKeys:
    """A bounded memory of denials, each kept until its key could be admitted.

    Args:
        size: Keys remembered; the oldest denial is forgotten first.
        longest: Seconds after which Redis is asked again all the same, so that a refund made by another
            node is seen.
        clock: Monotonic seconds.
    """

    __slots__ = ("_clock", "_denials", "_longest", "_size")

    def __init__(self, *, size: int, longest: float, clock: Callable[[], float]) -> None:
        self._size = size
        self._longest = longest
        self._clock = clock
        self._denials: dict[str, _Denial] = {}

    def find(self, limits: Iterable[Limit], cost: int) -> Decision | None:
        """A denial that still holds for one of the limits and at least this cost."""
        if not self._denials:
            return None
        for limit in limits:
            denial = self._denials.get(limit.redis_key)
            if denial is not None and denial.state.limit == limit and denial.cost <= cost:
                return self._still(denial)
        return None

    def remember(self, decision: Decision, cost: int) -> None:
        """Keep every limit that denied."""
        now = self._clock()
        for state in decision.limits:
            if state.retry_after > 0:
                self._keep(_Denial(state, cost, now, now + min(state.retry_after, self._longest)))

    def forget(self, limits: Iterable[Limit]) -> None:
        """Ask Redis again about these."""
        for limit in limits:
            self._denials.pop(limit.redis_key, None)

    def _keep(self, denial: _Denial) -> None:
        key = denial.state.limit.redis_key
        self._denials.pop(key, None)
        self._denials[key] = denial
        if len(self._denials) > self._size:
            del self._denials[next(iter(self._denials))]

    def _still(self, denial: _Denial) -> Decision | None:
        now, state = self._clock(), denial.state
        if now >= denial.until:
            del self._denials[state.limit.redis_key]
            return None
        passed = now - denial.at
        left = LimitState(
            state.limit, state.remaining, max(0.0, state.reset_after - passed), state.retry_after - passed
        )
        return together([left])
