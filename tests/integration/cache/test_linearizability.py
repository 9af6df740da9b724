"""What was invalidated or replaced is never seen again, on another node after the stated window."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from sba_cache import Cache, CacheKey
from sba_resilience import RedisUnavailable
from tests.integration.cache.history import WINDOW, History
from tests.integration.cache.nodes import SPACE, TAG, TAGS, TENANT, Hand, Node, nodes
from tests.integration.resilience.faults import eventually

KEY = CacheKey(TENANT, SPACE, "question")

Change = Callable[[Cache], Awaitable[object]]
CHANGES: dict[str, Change] = {
    "namespace": lambda cache: cache.invalidate(TENANT, SPACE),
    "tenant": lambda cache: cache.invalidate(TENANT),
    "tag": lambda cache: cache.invalidate(TENANT, tag=TAG),
    "delete": lambda cache: cache.delete(KEY),
    "set": lambda cache: cache.set(KEY, 2, ttl=600.0, type=int, tags=TAGS),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@asynccontextmanager
async def three(url: str, clock: Callable[[], float]) -> AsyncIterator[list[Node]]:
    """Two nodes that keep values, the second with this clock, and one that does not."""
    async with nodes(url, {"one": time.monotonic, "two": clock}) as opened:
        yield opened


@pytest.mark.parametrize("seed", [1, 20, 300, 4000])
async def test_no_history_shows_what_was_replaced(redis_url: str, seed: int) -> None:
    clocks = dict.fromkeys(("one", "two", "three"), time.monotonic)
    async with nodes(redis_url, clocks) as opened, Redis.from_url(redis_url) as admin:
        history = History(seed, opened, admin)
        await history.run(steps=700)
    assert not history.violations()
    assert len(history.bumps) > 50
    assert len(history.reads) > 5 * len(history.bumps) ** 0.5
    assert 20 < history.loads < len(history.reads), "some reads were answered from the cache"


@every_change
async def test_a_change_is_told_to_nodes_whose_time_stands_still(redis_url: str, change: Change) -> None:
    """Nothing expires on a clock that stands: only the message can make the second node look again."""
    async with three(redis_url, Hand()) as (one, two, _):
        assert await two.read(KEY, lambda: 1) == 1
        assert await two.read(KEY, lambda: 2) == 1
        await change(one.cache)

        async def seen() -> bool:
            return await two.read(KEY, lambda: 2) == 2

        await eventually(seen, within=30.0)


@every_change
async def test_a_hung_connection_is_believed_no_longer_than_the_window(
    redis_url: str, change: Change
) -> None:
    hand = Hand()
    async with three(redis_url, hand) as (one, two, _):
        assert await two.read(KEY, lambda: 1) == 1
        two.wire.hang()
        await change(one.cache)
        hand.now = time.monotonic() + WINDOW
        assert await two.read(KEY, lambda: 2) == 2


@every_change
async def test_what_was_read_before_a_cut_is_not_believed_on_the_next_connection(
    redis_url: str, change: Change
) -> None:
    hand = Hand()
    async with three(redis_url, hand) as (one, two, _):
        assert await two.read(KEY, lambda: 1) == 1
        watch = two.redis.watch("sba:cv:test", lambda _: None)
        await watch.ready()
        before = watch.epoch
        two.wire.hang()
        await change(one.cache)
        two.wire.cut()
        two.wire.heal()
        await eventually(lambda: watch.epoch > before and watch.live_until > hand.now, within=30.0)
        hand.now += WINDOW  # what the second node read itself is believed that long
        assert await two.read(KEY, lambda: 2) == 2


@every_change
async def test_the_node_that_made_a_change_sees_it_at_once_and_so_does_redis(
    redis_url: str, change: Change
) -> None:
    async with three(redis_url, Hand()) as (_, two, far):
        assert await two.read(KEY, lambda: 1) == 1
        await change(two.cache)
        assert await far.read(KEY, lambda: 2) == 2
        assert await two.read(KEY, lambda: 2) == 2


@every_change
async def test_a_load_begun_before_a_change_elsewhere_never_becomes_visible(
    redis_url: str, change: Change
) -> None:
    async with three(redis_url, Hand()) as (one, two, far):
        began, gate = asyncio.Event(), asyncio.Event()

        async def old() -> int:
            began.set()
            await gate.wait()
            return 1

        early = asyncio.create_task(two.cache.get_or_load(KEY, old, ttl=600.0, type=int, tags=TAGS))
        await began.wait()
        await change(one.cache)
        gate.set()
        await early
        assert await far.read(KEY, lambda: 2) == 2
        assert await one.read(KEY, lambda: 2) == 2

        async def seen() -> bool:
            return await two.read(KEY, lambda: 2) == 2

        await eventually(seen, within=30.0)


@pytest.mark.parametrize("how", ["namespace", "tenant", "tag"])
async def test_an_invalidation_that_got_lost_is_sent_again_and_meanwhile_its_node_serves_nothing_old(
    redis_url: str, how: str
) -> None:
    async with three(redis_url, Hand()) as (two, one, far):
        for each in (one, two, far):
            assert await each.read(KEY, lambda: 1) == 1
        one.wire.break_off()
        with pytest.raises(RedisUnavailable):
            await CHANGES[how](one.cache)
        assert await one.read(KEY, lambda: 2) == 2, "loaded, not taken from what it kept"
        assert await far.read(KEY, lambda: 2) == 1, "nobody could tell"
        one.wire.up = True

        async def seen() -> bool:
            return [await each.read(KEY, lambda: 3) for each in (far, two)] == [3, 3]

        await eventually(seen, within=60.0)
        assert await one.read(KEY, lambda: 3) == 3
