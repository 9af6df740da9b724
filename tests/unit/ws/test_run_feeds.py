"""Reading for a feed outlives failures, and what is subscribed and left is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from sba_agents.events import RunEvent, stream_key
from sba_db import DatabaseUnavailable
from sba_ws import node
from sba_ws.limits import Limits
from sba_ws.run_feeds import RunFeeds, RunKey

RUN = RunKey(UUID(int=1), UUID(int=2))
OTHER = RunKey(
    next(UUID(int=n) for n in range(3, 99) if stream_key(UUID(int=n)) != stream_key(UUID(int=1))), UUID(int=4)
)
SWIFT = replace(Limits(), page=2, poll_interval=0.02, outage_poll_interval=0.01)


def event(seq: int, kind: str = "step.finished", run: RunKey = RUN) -> RunEvent:
    return RunEvent(run.tenant_id, run.run_id, seq, kind, {}, datetime.now(UTC))


class Sink:
    def __init__(self) -> None:
        self.room = True
        self.got: list[int] = []

    def deliver(self, row: RunEvent) -> bool:
        if self.room:
            self.got.append(row.seq)
        return self.room

    def gap(self, first: int, last: int) -> bool:
        raise AssertionError((first, last))


class Table:
    def __init__(self) -> None:
        self.rows: dict[RunKey, list[RunEvent]] = {RUN: [], OTHER: []}
        self.failures: list[Exception] = []
        self.reads = 0

    async def read(self, run: RunKey, *, after: int, limit: int) -> list[RunEvent]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        return [row for row in self.rows[run] if row.seq > after][:limit]


class Held:
    def __init__(self) -> None:
        self.keys: list[str] = []

    def hold(self, key: str) -> None:
        self.keys.append(key)

    def release(self, key: str) -> None:
        self.keys.remove(key)


@pytest.fixture
async def parts():
    table, held = Table(), Held()
    feeds = RunFeeds(read=table.read, shards=held, limits=SWIFT)
    yield feeds, table, held
    await feeds.aclose()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for sends no event
            await asyncio.sleep(0)


async def test_a_stream_is_held_from_the_first_follower_to_the_last(parts) -> None:
    feeds, _, held = parts
    sink = Sink()
    for subscriber in ("a", "b"):
        feeds.subscribe(RUN, subscriber, sink, after=0, finished=False)
    assert (held.keys, len(feeds)) == ([stream_key(RUN.tenant_id)], 1)
    assert feeds.follows(RUN, "a")
    for subscriber in ("a", "b", "b"):
        feeds.unsubscribe(RUN, subscriber)
    assert (held.keys, len(feeds), feeds.follows(RUN, "a")) == ([], 0, False)
    feeds.live(event(1))
    feeds.resume(RUN, "a")


async def test_nothing_is_delivered_before_the_subscriber_yields(parts) -> None:
    feeds, table, _ = parts
    table.rows[RUN] = [event(1)]
    sink = Sink()
    feeds.subscribe(RUN, "a", sink, after=0, finished=False)
    assert sink.got == []
    await until(lambda: sink.got == [1])


async def test_a_failed_read_is_repeated_until_it_succeeds(parts) -> None:
    feeds, table, _ = parts
    table.rows[RUN] = [event(seq) for seq in range(1, 6)]
    table.failures = [DatabaseUnavailable(), TimeoutError()]
    sink = Sink()
    feeds.subscribe(RUN, "a", sink, after=0, finished=False)
    await until(lambda: sink.got == [1, 2, 3, 4, 5])


async def test_a_defect_while_reading_is_logged_and_the_next_wake_reads_on(parts, caplog) -> None:
    feeds, table, _ = parts
    table.rows[RUN] = [event(1)]
    table.failures = [ZeroDivisionError()]
    sink = Sink()
    feeds.subscribe(RUN, "a", sink, after=0, finished=False)
    await until(lambda: caplog.records)
    feeds.doubt()
    await until(lambda: sink.got == [1])


async def test_a_doubt_about_one_stream_reads_only_its_runs(parts) -> None:
    feeds, table, _ = parts
    sinks = {run: Sink() for run in (RUN, OTHER)}
    for run, sink in sinks.items():
        feeds.subscribe(run, "a", sink, after=0, finished=False)
    await until(lambda: table.reads == 2 and not feeds._pumps)
    for run in sinks:
        table.rows[run] = [event(1, run=run)]
    feeds.doubt(stream_key(OTHER.tenant_id))
    await until(lambda: sinks[OTHER].got == [1])
    assert sinks[RUN].got == []


async def test_a_sink_without_room_is_read_for_when_it_has_some(parts) -> None:
    feeds, table, _ = parts
    table.rows[RUN] = [event(1), event(2)]
    sink = Sink()
    sink.room = False
    feeds.subscribe(RUN, "a", sink, after=0, finished=False)
    await until(lambda: table.reads == 1)
    feeds.live(event(1))
    feeds.doubt()
    assert sink.got == []
    sink.room = True
    feeds.resume(RUN, "a")
    await until(lambda: sink.got == [1, 2])


@pytest.mark.parametrize("carried", [True, False])
async def test_polling_finds_what_was_never_carried_until_the_run_is_over(parts, *, carried: bool) -> None:
    feeds, table, _ = parts
    sink = Sink()
    feeds.subscribe(RUN, "a", sink, after=0, finished=False)

    async def answers() -> bool:
        return carried

    polling = asyncio.create_task(feeds.poll(answers))
    table.rows[RUN] = [event(1), event(2, "run.succeeded")]
    await until(lambda: sink.got == [1, 2])
    await until(lambda: not feeds._pumps)
    reads = table.reads
    feeds.doubt()
    assert not feeds._pumps
    assert table.reads == reads
    polling.cancel()


async def test_a_background_task_that_fails_is_started_again(monkeypatch, caplog) -> None:
    monkeypatch.setattr(node, "_RESTART_AFTER", 0.0)
    tries: list[int] = []

    async def work() -> None:
        tries.append(1)
        raise ZeroDivisionError

    task = node._for_ever("work", work)
    await until(lambda: len(tries) > 2)
    task.cancel()
    assert "background_task_failed" in caplog.text
