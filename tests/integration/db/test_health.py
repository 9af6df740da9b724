"""Health: the latest word of each component, and what it said before."""

from __future__ import annotations

import asyncio

import pytest

from sba_db import HealthStatus, InvalidCursor, InvalidValue, system_health


async def say(database, component: str, status: str, **detail):
    return await system_health.record_health(database, component=component, status=status, detail=detail)


async def test_history_walks_a_components_words_from_new_to_old(database):
    said = [await say(database, "worker", status) for status in ("ok", "degraded", "down", "ok", "ok")]
    await say(database, "api", "ok")
    first = await system_health.history(database, component="worker", limit=3)
    second = await system_health.history(database, component="worker", limit=3, cursor=first.next_cursor)

    assert [*first.items, *second.items] == said[::-1]
    assert second.next_cursor is None


async def test_a_component_that_never_spoke_has_no_history(database):
    page = await system_health.history(database, component="nobody")

    assert (page.items, page.next_cursor) == ((), None)


async def test_the_latest_word_is_the_top_of_the_history_whoever_speaks_at_once(database):
    words = (say(database, f"c{n % 3}", "ok", n=n) for n in range(30))
    await asyncio.gather(*words)

    latest = await system_health.latest(database)
    assert [one.component for one in latest] == ["c0", "c1", "c2"]
    for one in latest:
        history = await system_health.history(database, component=one.component)
        assert len(history.items) == 10
        assert history.items[0] == one
        assert one.status is HealthStatus.OK


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_history_of_no_sensible_length_is_refused(database, limit):
    with pytest.raises(InvalidValue):
        await system_health.history(database, component="x", limit=limit)


async def test_a_cursor_of_another_list_is_refused(database):
    with pytest.raises(InvalidCursor):
        await system_health.history(database, component="x", cursor="cnVu" + "A" * 22)
