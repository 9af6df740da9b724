"""Runs one of two ways of doing something, by tenant, and takes the new one back when it is worse."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from math import inf
from typing import TypeVar
from uuid import UUID

from sba_resilience.canary.figures import Side, Totals, count
from sba_resilience.canary.judge import Finding, Rules, Verdict, compare
from sba_resilience.canary.store import (
    SLOTS,
    Batch,
    CanaryStore,
    Decision,
    Phase,
    SlidingCounts,
    Status,
    View,
)
from sba_resilience.deadline import Deadline
from sba_resilience.errors import CanaryContended, ResilienceError
from sba_resilience.faults import is_fault, ran_out
from sba_telemetry import counter, gauge, get_logger, tally

_log = get_logger(__name__)
_decisions = counter("sba.canary.decisions", description="Decisions by canary and kind.")
_share = gauge("sba.canary.share", description="Share of tenants on the candidate, by canary.")
_calls = tally("sba.canary.calls", description="Calls by canary, side and outcome.")

T = TypeVar("T")

ITSELF = "canary"
STALE = 10
TRIES = 5
SERVING = frozenset({Status.RUNNING, Status.PROMOTED})


class Canary:
    """Gives a sticky share of tenants the candidate and everybody else the stable way.

    A tenant's side depends on its id and the canary's name alone, so it is the same in every process and
    after every restart, and raising the share only ever adds tenants. Both sides are counted over a
    sliding window that all processes share; when the candidate is worse by `rules` everybody is back on
    stable, and stays there until a person starts it again.

    Processes exchange counts and decisions every `sync_every` seconds while there are calls. While the
    store is away a process keeps to the phase it knows, judges by its own counts, and may still roll back
    for itself, which the others learn once the store is there again. A process that never reached the
    store, or finds it empty, is on stable.

    Args:
        name: What is being changed, such as `knowledge.rerank`; never a tenant.
        store: Shared by all processes.
        wall: Unix seconds; the clocks of all processes agree to well within a tenth of the window.
        rules: When the candidate is worse.
        sync_every: Seconds between two exchanges.
        promote_after: Seconds of running without being worse after which everybody gets the candidate;
            None leaves that to a person.
        is_failure: Tells a failure from an error that is the caller's own, which is not counted at all.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        store: CanaryStore,
        *,
        wall: Callable[[], float],
        rules: Rules | None = None,
        sync_every: float = 1.0,
        promote_after: float | None = None,
        is_failure: Callable[[BaseException], bool] = is_fault,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if sync_every <= 0:
            raise ValueError("sync_every is above 0")
        self.name = name
        self._store = store
        self._wall = wall
        self._rules = rules or Rules()
        self._slice = self._rules.window / SLOTS
        self._sync_every = sync_every
        self._promote_after = promote_after
        self._is_failure = is_failure
        self._clock = clock
        self._phase = Phase()
        self._pending: Counter[str] = Counter()
        self._alone = SlidingCounts()
        self._unsaved: Decision | None = None
        self._tried_at = -inf
        self._away = ""
        self._turn = asyncio.Lock()
        self._syncing: asyncio.Task[bool] | None = None
        self._cells = {
            (side, ok): _calls.cell({"canary": name, "side": side.value, "outcome": "ok" if ok else "error"})
            for side in Side
            for ok in (True, False)
        }

    @property
    def phase(self) -> Phase:
        """What was decided last, as far as this process knows."""
        return self._phase

    def choose(self, tenant_id: UUID | str) -> Side:
        """The side of a tenant; for callers who then `record` what came of it."""
        status, share = self._phase.status, self._phase.share
        if status is Status.PROMOTED or (status is Status.RUNNING and self._position(tenant_id) < share):
            return Side.CANDIDATE
        return Side.STABLE

    def record(self, side: Side, *, ok: bool, seconds: float) -> None:
        """Count a call of a side; exchanges counts when it is time to.

        Args:
            side: What `choose` gave.
            ok: It did not fail.
            seconds: How long it took.
        """
        self._cells[side, ok].count += 1
        if self._phase.status is Status.RUNNING:
            count(self._pending, side, ok=ok, seconds=seconds)
        if self._clock() - self._tried_at >= self._sync_every:
            self._syncing = self._sync_task()

    async def call(
        self,
        tenant_id: UUID | str,
        stable: Callable[[], Awaitable[T]],
        candidate: Callable[[], Awaitable[T]],
    ) -> T:
        """Run one of the two for a tenant and count how it went.

        Cancellation is not counted, unless the call itself used up the current deadline: then it failed.
        After a quiet spell, and at first, it asks the store what was decided meanwhile before it chooses.

        Raises:
            Exception: Whatever the one that ran raised; the other is never run in its place.
        """
        if self._clock() - self._tried_at > self._sync_every * STALE:
            self._syncing = self._sync_task()
            await asyncio.shield(self._syncing)
        side, revision = self.choose(tenant_id), self._phase.revision
        deadline, began = Deadline.current(), self._clock()
        given = deadline.remaining() if deadline is not None else 0.0
        try:
            result = await (stable if side is Side.STABLE else candidate)()
        except BaseException as error:
            if self._is_failure(error) or ran_out(deadline, given, error):
                self._count(side, revision, ok=False, began=began)
            raise
        self._count(side, revision, ok=True, began=began)
        return result

    async def set_share(self, share: float, *, by: str, reason: str = "") -> Phase:
        """Start it, or change the share while it runs.

        Raises:
            ValueError: The share is not above 0 and up to 1.
            ResilienceError: The store is away.
            CanaryContended: Others kept deciding at the same time.
        """
        if not 0 < share <= 1:
            raise ValueError("the share is above 0 and up to 1")
        return await self._decide_by_hand(Status.RUNNING, share, by, reason)

    async def promote(self, *, by: str, reason: str = "") -> Phase:
        """Give everybody the candidate, until the code no longer knows the other way.

        Raises:
            ResilienceError: The store is away.
            CanaryContended: Others kept deciding at the same time.
        """
        return await self._decide_by_hand(Status.PROMOTED, 1.0, by, reason)

    async def roll_back(self, *, by: str, reason: str = "") -> Phase:
        """Put everybody back on stable; this process at once, even while the store is away.

        Raises:
            ResilienceError: The store is away; the others learn it once it is there.
            CanaryContended: Others kept deciding at the same time.
        """
        try:
            return await self._decide_by_hand(Status.ROLLED_BACK, 0.0, by, reason)
        except ResilienceError:
            self._roll_back_alone(self._decision("rolled_back", 0.0, by, reason, {}))
            raise

    async def decisions(self, limit: int = 50) -> Sequence[Decision]:
        """What was decided, by whom, when and on which figures; newest first.

        Raises:
            ResilienceError: The store is away.
        """
        return await self._store.decisions(self.name, limit)

    async def sync(self) -> bool:
        """Exchange counts and decisions with the other processes now; False when the store is away."""
        async with self._turn:
            try:
                await self._exchange()
            except ResilienceError as error:
                self._say_away(type(error).__name__)
                self._judge_alone()
                return False
            finally:
                self._tried_at = self._clock()
            self._say_away("")
            return True

    async def aclose(self) -> None:
        """Send the last counts; for the end of the process."""
        if self._syncing is not None:
            await asyncio.wait({self._syncing})
        await self.sync()

    def _position(self, tenant_id: UUID | str) -> float:
        digest = blake2b(f"{self.name}\0{tenant_id}".encode(), digest_size=8).digest()
        return (int.from_bytes(digest) >> 11) / 2**53

    def _count(self, side: Side, revision: int, *, ok: bool, began: float) -> None:
        if revision == self._phase.revision:
            self.record(side, ok=ok, seconds=self._clock() - began)
        else:
            self._cells[side, ok].count += 1

    def _sync_task(self) -> asyncio.Task[bool]:
        if self._syncing is not None and not self._syncing.done():
            return self._syncing
        with Deadline.detached():
            return asyncio.get_running_loop().create_task(self._sync_quietly())

    async def _sync_quietly(self) -> bool:
        try:
            return await self.sync()
        except Exception as error:  # noqa: BLE001 - a store that answers nonsense may not break a call
            _log.error("canary store failed", canary=self.name, error=type(error).__name__)
            return False

    def _batch(self) -> Batch:
        batch = Batch(self._phase.revision, int(self._wall() // self._slice), self._pending)
        self._pending = Counter()
        return batch

    async def _exchange(self) -> None:
        batch = self._batch()
        try:
            view = await self._store.add(self.name, batch)
        except ResilienceError:
            self._alone.add(batch.slot, batch.counts)
            raise
        self._alone = SlidingCounts()
        unsaved = self._unsaved
        if unsaved is not None and view.phase.status in SERVING and view.phase.since <= unsaved.at:
            await self._enter(view.phase, Status.ROLLED_BACK, unsaved)
            return
        self._unsaved = None
        self._adopt(view.phase)
        await self._act(view)

    async def _act(self, view: View) -> None:
        if view.phase.status is not Status.RUNNING:
            return
        finding = self._judged(view.counts)
        if finding.verdict is Verdict.WORSE:
            decision = self._decision("rolled_back", 0.0, ITSELF, finding.reason, finding.figures)
            await self._enter(view.phase, Status.ROLLED_BACK, decision)
        elif finding.verdict is Verdict.FINE and self._has_run_long_enough(view.phase):
            decision = self._decision("promoted", 1.0, ITSELF, "clean", finding.figures)
            await self._enter(view.phase, Status.PROMOTED, decision)

    async def _decide_by_hand(self, status: Status, share: float, by: str, reason: str) -> Phase:
        async with self._turn:
            for _ in range(TRIES):
                view = await self._store.add(self.name, self._batch())
                figures = self._judged(view.counts).figures
                decision = self._decision(_kind(view.phase, status), share, by, reason, figures)
                if await self._enter(view.phase, status, decision):
                    self._tried_at = self._clock()
                    return self._phase
        raise CanaryContended(self.name)

    async def _enter(self, before: Phase, status: Status, decision: Decision) -> bool:
        phase = Phase(status, decision.share, before.revision + 1, decision.at)
        if not await self._store.decide(self.name, phase, decision):
            return False
        if decision is not self._unsaved:
            self._announce(decision)
        self._unsaved = None
        self._adopt(phase)
        return True

    def _judge_alone(self) -> None:
        if self._phase.status is not Status.RUNNING:
            return
        finding = self._judged(self._alone.total())
        if finding.verdict is Verdict.WORSE:
            self._roll_back_alone(self._decision("rolled_back", 0.0, ITSELF, finding.reason, finding.figures))

    def _roll_back_alone(self, decision: Decision) -> None:
        self._unsaved = decision
        self._announce(decision)
        self._adopt(replace(self._phase, status=Status.ROLLED_BACK, share=0.0))

    def _say_away(self, error: str) -> None:
        if error != self._away:
            self._away = error
            _log.warning("canary store", canary=self.name, away=bool(error), error=error)

    def _adopt(self, phase: Phase) -> None:
        if phase == self._phase:
            return
        self._phase = phase
        self._pending = Counter()
        _share.set(phase.share, {"canary": self.name})
        _log.info("canary phase", canary=self.name, status=phase.status.value, share=phase.share)

    def _announce(self, decision: Decision) -> None:
        _decisions.add(1, {"canary": self.name, "decision": decision.kind})
        _log.warning(
            "canary decided",
            canary=self.name,
            decision=decision.kind,
            by=decision.by,
            reason=decision.reason,
            share=decision.share,
            **decision.figures,
        )

    def _judged(self, counts: Mapping[str, int]) -> Finding:
        return compare(Totals.of(counts, Side.STABLE), Totals.of(counts, Side.CANDIDATE), self._rules)

    def _decision(
        self, kind: str, share: float, by: str, reason: str, figures: Mapping[str, float]
    ) -> Decision:
        return Decision(kind, by, reason, self._wall(), share, figures)

    def _has_run_long_enough(self, phase: Phase) -> bool:
        return self._promote_after is not None and self._wall() - phase.since >= self._promote_after


def _kind(before: Phase, status: Status) -> str:
    if status is Status.RUNNING:
        return "resized" if before.status is Status.RUNNING else "started"
    return status.value
