"""One exchange with the server: large, cut short, or with a plan that has become stale."""

from __future__ import annotations

import asyncio

import pytest

from sba_db import (
    DatabaseSettings,
    DatabaseUnavailable,
    InvalidValue,
    StatementFailed,
    StatementRefused,
    open_database,
)
from sba_db.plans import MOST_PREPARED

SIZE = "select length(%(text)s::text) as n, %(text)s::text as text, %(tenant)s::uuid"


async def test_a_parameter_far_larger_than_every_buffer_goes_and_comes_back(wired, a):
    database, _ = wired
    text = "é" * 20_000_000

    row = await database.reader(a.id).fetch_one(SIZE, {"text": text})

    assert row["n"] == len(row["text"]) == len(text)


async def test_an_answer_cut_off_midway_is_unavailable_and_the_next_call_works(wired, a):
    database, wire = wired
    await database.ping()
    wire.hold = asyncio.Event()
    call = asyncio.create_task(database.reader(a.id).fetch_one(SIZE, {"text": "x"}))
    await wire.reached.wait()
    wire.cut()
    with pytest.raises(DatabaseUnavailable):
        await call
    wire.hold = None

    assert await database.reader(a.id).fetch_one(SIZE, {"text": "x"})


async def test_a_block_that_raises_on_a_lost_connection_still_raises_its_own_error(wired, a):
    database, wire = wired

    async def fail() -> None:
        async with database.tenant(a.id) as session:
            await session.fetch_one(SIZE, {"text": "x"})
            wire.cut()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await database.reader(a.id).fetch_one(SIZE, {"text": "x"})


async def test_a_plan_made_stale_by_a_migration_fails_no_more_than_once(database_urls, a, superuser):
    superuser.execute(
        "create table public.shape (tenant_id uuid, value int); grant select on public.shape to sba_app"
    )
    query = "select * from public.shape where tenant_id = %(tenant)s or true"
    async with open_database(DatabaseSettings(url=database_urls.app, max_size=1)) as database:
        reader = database.reader(a.id)
        for _ in range(4):
            await reader.fetch_all(query)
        superuser.execute("alter table public.shape alter column value type text")
        with pytest.raises(StatementFailed):
            await reader.fetch_all(query)

        assert await reader.fetch_all(query) == []


async def test_more_statements_than_are_prepared_run_unprepared(database, a):
    reader = database.reader(a.id)
    for turn in range(2 * MOST_PREPARED):
        for _ in range(2):
            row = await reader.fetch_one(f"select {turn} as turn, %(tenant)s::uuid")
            assert row["turn"] == turn


async def test_a_statement_is_prepared_once_and_its_values_still_change(database, a):
    reader = database.reader(a.id)
    for text in ("a", "bb", None, "dddd"):
        row = await reader.fetch_one(SIZE, {"text": text})
        assert row["n"] == (None if text is None else len(text))


async def test_a_parameter_that_is_missing_or_has_no_form_is_refused_before_anything_is_sent(wired, a):
    database, wire = wired
    await database.ping()
    wire.round_trips = 0
    reader = database.reader(a.id)
    with pytest.raises(StatementRefused, match="text"):
        await reader.fetch_one(SIZE)
    with pytest.raises(StatementFailed):
        await reader.fetch_one(SIZE, {"text": object()})
    with pytest.raises(InvalidValue):
        await reader.fetch_one(SIZE, {"text": "\ud800"})

    assert wire.round_trips == 0
