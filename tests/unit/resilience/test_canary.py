"""Who gets the candidate, and what a process does when the store is away or answers nonsense."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_resilience import CanaryContended, Deadline, RedisUnavailable
from sba_resilience.canary import Batch, Canary, MemoryStore, Phase, Rules, Side, Status
from sba_resilience.testing import FakeClock

TENANTS = [uuid5(UUID(int=0), str(n)) for n in range(2000)]
SMALL = Rules(minimum_calls=20)


class Flighty(MemoryStore):
    """A store that can go away, or keep deciding by itself."""

    away = contended = nonsense = False
    calls = 0

    async def add(self, name, batch):
        self.calls += 1
        await asyncio.sleep(0)
        if self.away:
            raise RedisUnavailable("timeout")
        if self.nonsense:
            raise ValueError("not a number")
        return await super().add(name, batch)

    async def decide(self, name, phase, decision):
        return False if self.contended else await super().decide(name, phase, decision)


def made(store: MemoryStore, clock: FakeClock, **more: object) -> Canary:
    return Canary("test.canary", store, wall=clock, clock=clock, rules=SMALL, **more)


async def fine() -> str:
    return "fine"


async def broken() -> str:
    raise ConnectionError


async def drive(canary: Canary, n: int = 400, stable=fine, candidate=fine) -> list[object]:
    calls = (canary.call(tenant, stable, candidate) for tenant in TENANTS[:n])
    return [await asyncio.gather(call, return_exceptions=True) for call in calls]


async def chosen(canary: Canary) -> set[UUID]:
    return {tenant for tenant in TENANTS if canary.choose(tenant) is Side.CANDIDATE}


async def test_raising_the_share_only_adds_tenants_and_lowering_only_removes(clock: FakeClock) -> None:
    canary, seen = made(MemoryStore(), clock), []
    for share in (0.01, 0.1, 0.5, 0.9, 1.0):
        await canary.set_share(share, by="ana")
        seen.append(await chosen(canary))
        assert abs(len(seen[-1]) / len(TENANTS) - share) < 0.05
    assert seen[0] < seen[1] < seen[2] < seen[3] < seen[4] == set(TENANTS)
    await canary.set_share(0.1, by="ana")
    assert await chosen(canary) == seen[1]


@given(st.uuids() | st.text(min_size=1), st.floats(0.001, 1), st.floats(0.001, 1))
def test_a_tenant_keeps_its_side_for_every_larger_share(tenant: UUID | str, one: float, other: float) -> None:
    async def sides(share: float) -> Side:
        clock = FakeClock()
        canary = made(MemoryStore(), clock)
        await canary.set_share(share, by="ana")
        assert canary.choose(tenant) is canary.choose(str(tenant))
        return canary.choose(tenant)

    small, large = sorted((one, other))
    if asyncio.run(sides(small)) is Side.CANDIDATE:
        assert asyncio.run(sides(large)) is Side.CANDIDATE


async def test_the_choice_is_the_same_in_every_process_and_release(clock: FakeClock) -> None:
    canary = made(MemoryStore(), clock)
    await canary.set_share(0.3, by="ana")
    picked = [n for n in range(20) if canary.choose(TENANTS[n]) is Side.CANDIDATE]
    assert picked == [2, 8, 10, 15]


async def test_canaries_of_other_names_pick_other_tenants(clock: FakeClock) -> None:
    one, other = made(MemoryStore(), clock), Canary("other", MemoryStore(), wall=clock, clock=clock)
    for canary in (one, other):
        await canary.set_share(0.5, by="ana")
    assert 0.4 < len(await chosen(one) & await chosen(other)) / len(await chosen(one)) < 0.6


async def test_a_process_that_never_reached_the_store_is_on_stable(clock: FakeClock) -> None:
    store = Flighty()
    await made(store, clock).set_share(1.0, by="ana")
    store.away = True
    fresh = made(store, clock)
    assert [await fresh.call("t", fine, broken) for _ in range(3)] == ["fine"] * 3
    store.away = False
    clock.advance(60)
    with pytest.raises(ConnectionError):
        await fresh.call("t", fine, broken)


async def test_while_the_store_is_away_it_keeps_the_phase_it_knows(clock: FakeClock) -> None:
    store = Flighty()
    canary = made(store, clock)
    await canary.set_share(0.5, by="ana")
    before = await chosen(canary)
    store.away = True
    assert not await canary.sync()
    await drive(canary)
    assert (await chosen(canary), canary.phase.status) == (before, Status.RUNNING)


async def test_alone_it_still_rolls_back_and_tells_the_others_later(clock: FakeClock) -> None:
    store = Flighty()
    canary, other = made(store, clock), made(store, clock)
    await canary.set_share(0.5, by="ana")
    await other.sync()
    store.away = True
    await drive(canary, candidate=broken)
    await canary.sync()
    assert canary.phase.status is Status.ROLLED_BACK
    assert await chosen(canary) == set()
    clock.advance(1)
    await canary.sync()
    store.away = False
    await other.sync()
    assert other.phase.status is Status.RUNNING
    await canary.sync()
    await other.sync()
    assert (other.phase, other.phase.status) == (canary.phase, Status.ROLLED_BACK)
    decision = (await other.decisions())[0]
    assert (decision.kind, decision.by, decision.reason) == ("rolled_back", "canary", "errors")
    assert decision.figures["candidate_error_rate"] == 1.0


async def test_a_roll_back_by_hand_works_at_once_and_without_the_store(clock: FakeClock) -> None:
    store = Flighty()
    canary = made(store, clock)
    await canary.promote(by="ana")
    store.away = True
    clock.advance(1)
    with pytest.raises(RedisUnavailable):
        await canary.roll_back(by="ben", reason="wrong answers")
    assert await chosen(canary) == set()
    store.away = False
    store.contended = True
    await canary.sync()
    assert canary.phase.status is Status.ROLLED_BACK
    store.contended = False
    await canary.sync()
    assert [decision.by for decision in await canary.decisions()] == ["ben", "ana"]


async def test_an_unsaved_roll_back_gives_way_to_a_later_start(clock: FakeClock) -> None:
    store = Flighty()
    canary, other = made(store, clock), made(store, clock)
    await canary.set_share(0.5, by="ana")
    store.away = True
    with pytest.raises(RedisUnavailable):
        await canary.roll_back(by="ben")
    store.away = False
    clock.advance(5)
    await other.set_share(0.2, by="cleo")
    await canary.sync()
    assert (canary.phase.status, canary.phase.share) == (Status.RUNNING, 0.2)


async def test_a_store_that_answers_nonsense_breaks_no_call(clock: FakeClock) -> None:
    store = Flighty()
    canary = made(store, clock)
    await canary.set_share(1.0, by="ana")
    store.nonsense = True
    clock.advance(60)
    assert await canary.call("t", broken, fine) == "fine"


async def test_someone_who_keeps_losing_to_others_is_told(clock: FakeClock) -> None:
    store = Flighty()
    store.contended = True
    with pytest.raises(CanaryContended, match=r"test\.canary"):
        await made(store, clock).promote(by="ana")


async def test_many_callers_share_one_exchange_that_no_deadline_of_theirs_ends(clock: FakeClock) -> None:
    store = Flighty()
    canary = made(store, clock)
    with Deadline.after(0.5).scope():
        await asyncio.gather(*(canary.call(tenant, fine, fine) for tenant in TENANTS[:200]))
    assert store.calls == 1
    clock.advance(1)
    await asyncio.gather(*(canary.call(tenant, fine, fine) for tenant in TENANTS[:200]))
    await canary.aclose()
    assert store.calls == 3


async def test_the_last_counts_are_sent_at_the_end(clock: FakeClock) -> None:
    store = MemoryStore()
    canary = made(store, clock)
    await canary.set_share(1.0, by="ana")
    canary.record(Side.CANDIDATE, ok=True, seconds=0.1)
    await canary.aclose()
    view = await store.add("test.canary", Batch(0, 0, {}))
    assert view.counts["candidate:calls"] == 1


async def test_calls_of_an_earlier_phase_and_cancelled_ones_are_not_counted(clock: FakeClock) -> None:
    canary, gate = made(MemoryStore(), clock), asyncio.Event()
    await canary.set_share(1.0, by="ana")

    async def slow() -> None:
        await gate.wait()
        raise ConnectionError

    early = [asyncio.ensure_future(canary.call(tenant, slow, slow)) for tenant in TENANTS[:50]]
    gone = asyncio.ensure_future(canary.call("gone", slow, slow))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gone.cancel()
    await canary.set_share(0.5, by="ana")
    gate.set()
    await asyncio.gather(*early, gone, return_exceptions=True)
    assert sum(canary._pending.values()) == 0


async def test_calls_that_end_while_another_decision_arrives_are_not_counted(clock: FakeClock) -> None:
    store = Flighty()
    canary, other = made(store, clock), made(store, clock)
    await canary.set_share(1.0, by="ana")
    await other.set_share(0.5, by="ben")
    syncing = asyncio.ensure_future(canary.sync())
    await asyncio.sleep(0)
    canary.record(Side.CANDIDATE, ok=False, seconds=0.1)
    await syncing
    assert (canary.phase.share, canary._pending) == (0.5, {})


@pytest.mark.parametrize(
    ("had", "counted"), [(10.0, {"candidate:calls": 1, "candidate:errors": 1}), (4.0, {})]
)
async def test_a_call_that_used_up_its_deadline_failed_and_one_that_had_no_time_did_not(
    clock: FakeClock, had: float, counted: dict[str, int]
) -> None:
    canary = made(MemoryStore(), clock, sync_every=1e9)
    await canary.set_share(1.0, by="ana")
    with Deadline(clock() + had, 10.0, clock).scope():
        call = asyncio.ensure_future(canary.call("t", fine, asyncio.Event().wait))
    await asyncio.sleep(0)
    clock.advance(had)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert canary._pending == counted


async def test_decisions_and_sides_are_measured_by_name(clock: FakeClock, measured) -> None:
    canary = made(MemoryStore(), clock)
    await canary.set_share(1.0, by="ana")
    await drive(canary, 3)
    assert measured("sba.canary.decisions", canary="test.canary", decision="started") == 1
    assert measured("sba.canary.share", canary="test.canary") == 1.0


async def test_what_cannot_be_is_refused(clock: FakeClock) -> None:
    for share in (0.0, -0.1, 1.1):
        with pytest.raises(ValueError, match="share"):
            await made(MemoryStore(), clock).set_share(share, by="ana")
    with pytest.raises(ValueError, match="sync_every"):
        made(MemoryStore(), clock, sync_every=0)
    assert made(MemoryStore(), clock).phase == Phase()


async def test_what_was_promoted_is_not_taken_back_by_counts(clock: FakeClock) -> None:
    store = MemoryStore()
    canary = made(store, clock)
    phase = await canary.promote(by="ana")
    slot = int(clock() // (SMALL.window / 10))
    counts = {"stable:calls": 500, "candidate:calls": 500, "candidate:errors": 500}
    await store.add("test.canary", Batch(phase.revision, slot, counts))
    await canary.sync()
    assert canary.phase.status is Status.PROMOTED
