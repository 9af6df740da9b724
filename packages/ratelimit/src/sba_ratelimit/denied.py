"""Keys known to be denied: answered here, without asking Redis again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from sba_ratelimit.decision import Decision, LimitState
from sba_ratelimit.key import Key
from sba_ratelimit.limit import Limit, Quota
from sba_ratelimit.shared import MARK

Token: TypeAlias = tuple[Key, Quota, int]


class Watch(Protocol):
    """What is needed of `sba_resilience.redis.KeyWatch`: silence until `live_until` means no change."""

    epoch: int
    live_until: float
    clock: Callable[[], float]


class Asked(NamedTuple):
    """When Redis was asked, and what was known of changes by then."""

    at: float
    epoch: int
    changes: int


@dataclass(frozen=True, slots=True)
class _Denial:
    state: LimitState
    at: float
    heard: float
    until: float
    epoch: int

    def state_at(self, now: float) -> LimitState:
        """What is left of the denial, counted from when it was heard: the server decided no later."""
        state, passed = self.state, now - self.heard
        return LimitState(
            state.limit, state.remaining, max(0.0, state.reset_after - passed), state.retry_after - passed
        )


class DeniedKeys:
    """A bounded memory of denials by limit and cost, each kept until its key could be admitted.

    While the watch is live, other nodes' refunds and resets are heard of. A denial that a change may have
    escaped holds for `longest` at most.

    Args:
        size: Denials remembered; the oldest is forgotten first.
        longest: Seconds a denial holds while changes may go unheard; 0 remembers nothing.
        clock: Monotonic seconds.
        watch: Begins to watch the marks, when there is a first denial to remember.
    """

    __slots__ = (
        "__weakref__",
        "_at",
        "_changes",
        "_clock",
        "_denials",
        "_longest",
        "_size",
        "_start",
        "_watch",
    )

    def __init__(
        self,
        *,
        size: int,
        longest: float,
        clock: Callable[[], float],
        watch: Callable[[Callable[[str], None]], Watch],
    ) -> None:
        self._size = size
        self._longest = longest
        self._clock = clock
        self._start = watch
        self._watch: Watch | None = None
        self._changes = 0
        self._denials: dict[Token, _Denial] = {}
        self._at: dict[str, set[Token]] = {}

    def asked(self) -> Asked:
        """To be taken before Redis is asked, for `remember`."""
        return Asked(self._clock(), self._watch.epoch if self._watch else -1, self._changes)

    def find(self, limits: Iterable[Limit], cost: int) -> Decision | None:
        """A refusal by the denials that still hold for these limits and this cost."""
        denials = self._denials
        if not denials:
            return None
        now = self._clock()
        states: list[LimitState] = []
        for limit in limits:
            denial = denials.get((limit.key, limit.quota, cost))
            if denial is not None and self._holds(denial, cost, now):
                states.append(denial.state_at(now))
        if not states:
            return None
        return Decision(False, tuple(states), max([state.retry_after for state in states]))  # noqa: FBT003 - fastest

    def remember(self, decision: Decision, cost: int, asked: Asked) -> None:
        """Keep every limit that denied."""
        if not self._longest:
            return
        if self._watch is None:
            self._watch = self._start(self.changed)
        epoch = asked.epoch if asked.changes == self._changes else -1
        heard = self._clock()
        for state in decision.limits:
            if state.retry_after > 0:
                self._keep(_Denial(state, asked.at, heard, asked.at + state.retry_after, epoch), cost)

    def forget(self, limits: Sequence[Limit]) -> None:
        """Ask Redis again about these."""
        self._changes += 1
        for limit in limits:
            self._drop(limit.stored)

    def changed(self, mark: str) -> None:
        """A node has given back or reset what is stored there."""
        self._changes += 1
        self._drop(mark.removeprefix(MARK))

    def _holds(self, denial: _Denial, cost: int, now: float) -> bool:
        if now < denial.until and (now < denial.at + self._longest or self._heard_since(denial.epoch)):
            return True
        self._discard(denial.state.limit, cost)
        return False

    def _heard_since(self, epoch: int) -> bool:
        watch = self._watch
        return watch is not None and watch.epoch == epoch and watch.clock() < watch.live_until

    def _keep(self, denial: _Denial, cost: int) -> None:
        limit = denial.state.limit
        self._discard(limit, cost)
        token = (limit.key, limit.quota, cost)
        self._denials[token] = denial
        self._at.setdefault(limit.stored, set()).add(token)
        if len(self._denials) > self._size:
            key, quota, dear = next(iter(self._denials))
            self._discard(Limit.of(quota, *key), dear)

    def _drop(self, stored: str) -> None:
        for token in self._at.pop(stored, ()):
            del self._denials[token]

    def _discard(self, limit: Limit, cost: int) -> None:
        token = (limit.key, limit.quota, cost)
        if self._denials.pop(token, None) is not None:
            tokens = self._at[limit.stored]
            tokens.discard(token)
            if not tokens:
                del self._at[limit.stored]
