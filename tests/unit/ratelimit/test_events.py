"""Blocks of units in this process, on a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sba_ratelimit import Decision, Limit
from sba_ratelimit.decision import together
from sba_ratelimit.errors import SlotsDiffer
from sba_ratelimit.events import DENIED_AT_LEAST, EventLimiter
from sba_ratelimit.local import LocalCounters

HOLD_FOR = 3.0


@dataclass
class Shared:
    """The shared limits of all nodes, counted by the local counters on the test's clock."""

    now: float = 1000.0
    asked: int = 0
    counters: LocalCounters = field(init=False)

    def __post_init__(self) -> None:
        self.counters = LocalCounters(nodes=1, size=100, clock=lambda: self.now)

    async def check(self, limits: Sequence[Limit], *, cost: int = 1) -> Decision:
        self.asked += 1
        await asyncio.sleep(0)
        decision = together(self.counters.look(limit, cost) for limit in limits)
        if not decision.allowed:
            return decision
        return together(self.counters.take(limits, cost), taken_at=self.counters.now())

    async def refund(self, limits: Sequence[Limit], *, cost: int = 1, of: Decision | None = None) -> bool:
        assert of is not None
        self.counters.refund(limits, cost, of.taken_at)
        return True

    def node(self, block: int, hold_for: float = HOLD_FOR) -> EventLimiter:
        return EventLimiter(self, block=block, hold_for=hold_for, clock=lambda: self.now)  # type: ignore[arg-type]  # two methods


STEP = st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0, 5.0]), st.booleans())


@settings(max_examples=60)
@given(
    st.lists(STEP, max_size=120),
    st.integers(1, 8),
    st.integers(1, 12),
    st.sampled_from(["gcra", "sliding_window"]),
)
async def test_no_window_holds_more_than_the_limit_allows_in_that_and_the_holding_time(
    steps: list[tuple[int, float, bool]], block: int, count: int, algorithm: str
) -> None:
    limit = Limit(count, per=2.0, key=("tenant", "t"), algorithm=algorithm)  # type: ignore[arg-type]  # sampled
    shared = Shared()
    nodes = [shared.node(block) for _ in range(3)]
    passed: list[float] = []
    for node, pause, swept in steps:
        shared.now += pause
        if swept:
            nodes[node]._sweep()
        if (await nodes[node].take((limit,))).allowed:
            passed.append(shared.now)
    for node in nodes:
        await node.aclose()
    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            window = passed[last] - began + HOLD_FOR
            windows = int(window // 2.0) + 1
            allowed = count + window / (2.0 / count) if algorithm == "gcra" else count * windows
            assert last - first + 1 <= allowed + 1e-6


@given(st.integers(1, 50), st.integers(1, 400))
async def test_calls_are_as_few_as_blocks(block: int, tries: int) -> None:
    shared = Shared()
    limit = Limit(1_000, per=1.0, key=("tenant", "t"))
    async with shared.node(block) as node:
        for _ in range(tries):
            assert (await node.take((limit,))).allowed
    assert shared.asked == -(-tries // block)


async def test_a_flood_of_events_asks_a_few_times_a_second_whatever_its_rate() -> None:
    shared = Shared()
    limit = Limit(100, per=1.0, key=("tenant", "t"))
    admitted = 0
    async with shared.node(20) as node:
        for _ in range(10_000):
            admitted += (await node.take((limit,))).allowed
            shared.now += 0.001
    assert 1_000 < admitted <= 1_100
    assert shared.asked <= 2 * 10 / DENIED_AT_LEAST + 10


async def test_a_client_that_waits_as_told_is_admitted() -> None:
    shared = Shared()
    limit = Limit(5, per=10.0, key=("tenant", "t"))
    async with shared.node(20) as node:
        for _ in range(50):
            verdict = await node.take((limit,))
            if not verdict.allowed:
                shared.now += verdict.retry_after + 1e-6
                assert (await node.take((limit,))).allowed


async def test_the_one_who_asked_hears_of_an_error_and_the_next_one_asks_again() -> None:
    shared = Shared()
    limit = Limit(5, per=10.0, key=("tenant", "t"))
    right, shared.check = shared.check, _differ  # type: ignore[method-assign]  # fails once
    async with shared.node(20) as node:
        asking, waiting = (asyncio.create_task(node.take((limit,))) for _ in range(2))
        for _ in range(2):
            await asyncio.sleep(0)
        shared.check = right  # type: ignore[method-assign]  # as before
        with pytest.raises(SlotsDiffer):
            await asking
        assert (await waiting).allowed


async def _differ(limits: Sequence[Limit], *, cost: int = 1) -> Decision:
    await asyncio.sleep(0)
    raise SlotsDiffer("one", "other")


async def test_a_block_that_comes_too_late_to_be_held_is_good_for_one_event() -> None:
    shared = Shared()
    limit = Limit(100, per=100.0, key=("tenant", "t"))
    async with shared.node(5, hold_for=0.01) as node:
        right = shared.check

        async def slow(limits: Sequence[Limit], *, cost: int = 1) -> Decision:
            decision = await right(limits, cost=cost)
            shared.now += 0.02
            return decision

        shared.check = slow  # type: ignore[method-assign]  # a server far away
        async with asyncio.timeout(10):
            verdicts = await asyncio.gather(*(node.take((limit,)) for _ in range(4)))
    assert [verdict.allowed for verdict in verdicts] == [True] * 4
    assert shared.asked == 4


async def test_what_a_held_up_node_gives_back_is_never_more_than_it_still_owes() -> None:
    shared = Shared()
    limit = Limit(10, per=10.0, key=("tenant", "t"))
    async with shared.node(10) as node:
        assert (await node.take((limit,))).allowed
        shared.now += 2.5
        node._sweep()
    assert shared.counters.look(limit, 1).remaining == 9


@pytest.mark.parametrize("hold_for", [0.0, 0.0001, -1.0, float("inf"), float("nan")])
def test_a_time_too_short_to_use_a_block_is_refused(hold_for: float) -> None:
    with pytest.raises(ValueError, match="hold_for"):
        Shared().node(5, hold_for=hold_for)
