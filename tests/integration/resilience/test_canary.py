"""One contract for both stores, and processes that share a canary through the real server."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid5

import pytest

from sba_resilience import RedisCommandError
from sba_resilience.canary import (
    Batch,
    Canary,
    CanaryStore,
    Decision,
    MemoryStore,
    Phase,
    RedisStore,
    Rules,
    Side,
    Status,
)
from sba_resilience.redis import RedisClient, RedisSettings, open_redis
from sba_resilience.testing import FakeClock
from tests.integration.resilience.faults import Server, eventually

TENANTS = [uuid5(UUID(int=0), str(n)) for n in range(1000)]
WALL = 1_800_000_000.0


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> CanaryStore:
    if request.param == "memory":
        return MemoryStore()
    return RedisStore(request.getfixturevalue("redis"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(WALL)


def running(revision: int = 1, share: float = 0.25) -> Phase:
    return Phase(Status.RUNNING, share, revision, WALL)


def noted(by: str) -> Decision:
    return Decision("started", by, "a reason", WALL, 0.25, {"p_value": 0.5})


async def test_a_canary_nobody_started_is_off(store: CanaryStore) -> None:
    view = await store.add("c", Batch(0, 5, {"stable:calls": 3}))
    assert view.phase == Phase()
    assert await store.decisions("c") == ()


async def test_a_decision_is_taken_once_and_read_back_exactly(store: CanaryStore) -> None:
    phase = running(share=0.1 + 0.2)
    assert await store.decide("c", phase, noted("ana"))
    assert not await store.decide("c", phase, noted("ben"))
    assert not await store.decide("c", running(revision=3), noted("ben"))
    assert (await store.add("c", Batch(1, 5, {}))).phase == phase
    assert await store.decisions("c") == (noted("ana"),)


async def test_only_one_of_many_deciding_at_once_wins(store: CanaryStore) -> None:
    won = await asyncio.gather(*(store.decide("c", running(), noted(str(n))) for n in range(50)))
    assert sum(won) == 1
    assert len(await store.decisions("c")) == 1


async def test_counts_add_up_and_leave_with_their_slice(store: CanaryStore) -> None:
    await store.decide("c", running(), noted("ana"))
    await asyncio.gather(*(store.add("c", Batch(1, 100, {"stable:calls": 2})) for _ in range(25)))
    view = await store.add("c", Batch(1, 109, {"stable:calls": 1, "candidate:7": 4}))
    assert view.counts == {"stable:calls": 51, "candidate:7": 4}
    view = await store.add("c", Batch(1, 110, {}))
    assert view.counts == {"stable:calls": 1, "candidate:7": 4}
    assert (await store.add("c", Batch(1, 119, {}))).counts == {}


async def test_counts_of_another_phase_are_dropped(store: CanaryStore) -> None:
    await store.decide("c", running(), noted("ana"))
    await store.add("c", Batch(1, 5, {"stable:calls": 2}))
    assert await store.decide("c", running(revision=2), noted("ana"))
    assert (await store.add("c", Batch(1, 5, {"stable:calls": 9}))).counts == {}
    assert (await store.add("c", Batch(2, 5, {"stable:calls": 1}))).counts == {"stable:calls": 1}


async def test_canaries_do_not_mix_and_only_the_latest_decisions_are_kept(store: CanaryStore) -> None:
    for revision in range(1, 206):
        assert await store.decide("c", running(revision), noted(str(revision)))
    assert (await store.add("d", Batch(0, 5, {}))).phase == Phase()
    assert [decision.by for decision in await store.decisions("c", 2)] == ["205", "204"]
    assert len(await store.decisions("c", 1000)) == 200
    assert await store.decisions("c", 0) == ()


def made(store: CanaryStore, clock: FakeClock, **more: object) -> Canary:
    rules = Rules(minimum_calls=20)
    return Canary("tested", store, wall=clock, clock=clock, rules=rules, **more)


async def drive(canary: Canary, clock: FakeClock, *, rate: float = 0.0, seconds: float = 0.1) -> None:
    """A thousand tenants call once; the candidate fails and takes as told."""
    for n, tenant in enumerate(TENANTS):

        async def stable() -> None:
            clock.advance(0.1)

        async def candidate(n: int = n) -> None:
            clock.advance(seconds)
            if n % 100 < rate * 100:
                raise ConnectionError

        await asyncio.gather(canary.call(tenant, stable, candidate), return_exceptions=True)


async def test_a_candidate_that_fails_more_is_rolled_back_for_every_process_and_stays_so(
    store: CanaryStore, clock: FakeClock
) -> None:
    canary, other = made(store, clock), made(store, clock)
    await canary.set_share(0.3, by="ana", reason="try it")
    await other.sync()
    await drive(canary, clock, rate=0.5)
    await canary.sync()
    await other.sync()
    assert canary.phase.status is other.phase.status is Status.ROLLED_BACK
    assert not any(other.choose(tenant) is Side.CANDIDATE for tenant in TENANTS)
    for _ in range(3):
        await drive(canary, clock)
        await canary.sync()
    latest, first = await canary.decisions()
    assert (first.kind, first.by, first.reason, first.share) == ("started", "ana", "try it", 0.3)
    assert (latest.kind, latest.by, latest.reason, latest.share) == ("rolled_back", "canary", "errors", 0.0)
    assert latest.figures["p_value"] < 0.0005
    assert first.at == WALL < latest.at


async def test_a_slower_candidate_is_rolled_back_and_may_be_started_again(
    store: CanaryStore, clock: FakeClock
) -> None:
    canary = made(store, clock)
    await canary.set_share(0.5, by="ana")
    await drive(canary, clock, seconds=0.4)
    await canary.sync()
    assert (canary.phase.status, (await canary.decisions())[0].reason) == (Status.ROLLED_BACK, "slower")
    await canary.set_share(0.1, by="ben")
    await canary.set_share(0.2, by="ben")
    assert canary.phase.status is Status.RUNNING
    kinds = [decision.kind for decision in await canary.decisions()]
    assert kinds == ["resized", "started", "rolled_back", "started"]


async def test_two_processes_see_together_what_neither_sees_alone(
    store: CanaryStore, clock: FakeClock
) -> None:
    one, two = made(store, clock, sync_every=1e9), made(store, clock, sync_every=1e9)
    await one.set_share(0.5, by="ana")
    await two.sync()
    for n in range(15):
        for canary in (one, two):
            canary.record(Side.STABLE, ok=True, seconds=0.1)
            canary.record(Side.CANDIDATE, ok=n % 3 > 0, seconds=0.1)
    await one.sync()
    assert one.phase.status is Status.RUNNING
    await two.sync()
    assert two.phase.status is Status.ROLLED_BACK


async def test_an_equal_candidate_keeps_running_and_is_promoted_after_a_clean_time(
    store: CanaryStore, clock: FakeClock
) -> None:
    by_hand, canary = made(store, clock), made(store, clock, promote_after=600.0)
    await canary.set_share(0.5, by="ana")
    for _ in range(5):
        await drive(by_hand, clock, rate=0.0)
        await by_hand.sync()
        assert by_hand.phase.status is Status.RUNNING
    clock.now = canary.phase.since + 599.0
    await canary.sync()
    assert canary.phase.status is Status.RUNNING
    clock.advance(1.0)
    await canary.sync()
    await by_hand.sync()
    assert by_hand.phase.status is Status.PROMOTED
    assert all(by_hand.choose(tenant) is Side.CANDIDATE for tenant in TENANTS)
    assert (await canary.decisions())[0].reason == "clean"


async def test_a_clean_time_without_calls_promotes_nothing(store: CanaryStore, clock: FakeClock) -> None:
    canary = made(store, clock, promote_after=1.0)
    await canary.set_share(0.5, by="ana")
    clock.advance(1e6)
    await canary.sync()
    assert canary.phase.status is Status.RUNNING


async def test_a_flushed_server_means_stable(redis: RedisClient, clock: FakeClock) -> None:
    canary = made(RedisStore(redis), clock)
    await canary.promote(by="ana")
    await redis.execute("FLUSHALL")
    await canary.sync()
    assert canary.phase == Phase()
    await canary.set_share(0.5, by="ana")
    assert canary.phase.revision == 1


async def test_a_foreign_key_in_its_place_breaks_no_call(redis: RedisClient, clock: FakeClock) -> None:
    store = RedisStore(redis)
    await redis.execute("SET", "sba:canary:{tested}", "foreign")
    with pytest.raises(RedisCommandError):
        await store.add("tested", Batch(0, 1, {}))
    assert await made(store, clock).call("t", lambda: asyncio.sleep(0, "ok"), asyncio.Event().wait) == "ok"


async def test_it_survives_a_server_that_is_killed_and_comes_back(server: Server, clock: FakeClock) -> None:
    async with open_redis(RedisSettings(server.url, command_timeout=1.0)) as redis:
        canary = made(RedisStore(redis), clock)
        await canary.set_share(0.5, by="ana")
        server.kill()
        assert not await canary.sync()
        await drive(canary, clock, rate=0.9)
        await canary.sync()
        assert canary.phase.status is Status.ROLLED_BACK
        server.start()
        await eventually(canary.sync, within=20.0)
        assert canary.phase.status is not Status.RUNNING
