"""What a connection prepares: callers who are refused or give up use up no room for it."""

from __future__ import annotations

import asyncio

import pytest

from sba_db import DatabaseSettings, MembershipDenied, open_database
from sba_db.plans import MOST_PREPARED
from sba_supabase.tenant import ENTER_TENANT

HELD = """
select statement from pg_prepared_statements
where %(tenant)s::uuid is not null and statement like '%%' || %(like)s || '%%'
"""
WANTED = "select 'wanted', %(tenant)s::uuid"
SLOW = "select 'slow', pg_sleep(20)::text, %(tenant)s::uuid"


@pytest.fixture
async def alone(database_urls):
    settings = DatabaseSettings(url=database_urls.app, max_size=1, enter_member=ENTER_TENANT)
    async with open_database(settings) as database:
        yield database


async def test_strangers_who_are_refused_again_and_again_cost_the_others_no_room(alone, a, b):
    for _ in range(MOST_PREPARED + 50):
        with pytest.raises(MembershipDenied):
            await alone.reader(a.id, member=b.user).fetch_all("select 'refused', %(tenant)s::uuid")
    for _ in range(2):
        await alone.reader(a.id).fetch_all(WANTED)

    assert len(await alone.reader(a.id).fetch_all(HELD, {"like": "'wanted'"})) == 1
    assert await alone.reader(a.id).fetch_all(HELD, {"like": "'refused'"}) == []


async def test_callers_who_give_up_leave_no_copies_behind(alone, a):
    for _ in range(20):
        call = asyncio.create_task(alone.reader(a.id).fetch_all(SLOW))
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert len(await alone.reader(a.id).fetch_all(HELD, {"like": "'slow'"})) <= 1
