"""The small parts, each by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_db import DatabaseTimeout, DatabaseUnavailable, MembershipDenied, RunNotFound
from sba_resilience import RedisUnavailable
from sba_supabase import KeysUnavailable
from sba_supabase.errors import TokenExpired
from sba_ws.answers import problem
from sba_ws.bucket import TokenBucket
from sba_ws.errors import Refused
from sba_ws.link import is_expected
from sba_ws.outgoing import BATCH, OVERHEAD, OutgoingQueue
from sba_ws.readiness import Probe
from sba_ws.refusals import refusal_of
from sba_ws.wire import Wire


@dataclass
class Packet:
    data: object


def filled(queue: OutgoingQueue, count: int, size: int = 100) -> None:
    for number in range(count):
        queue.put_nowait(Packet(str(number).ljust(size - OVERHEAD)))


async def test_a_queue_pauses_its_producer_and_calls_when_half_of_it_is_sent() -> None:
    queue, calls = OutgoingQueue(1000, 5000), []
    queue.drained = lambda: calls.append(queue.size)
    filled(queue, 9)
    assert queue.has_room()
    filled(queue, 1)
    assert not queue.has_room()
    for _ in range(5):
        assert calls == []
        await queue.get()
    assert calls == [500]
    assert queue.has_room()
    while not queue.empty():
        await queue.get()
    assert calls == [500]
    assert queue.size == 0


async def test_a_queue_over_its_hard_bound_drops_all_and_reports_once() -> None:
    queue, calls = OutgoingQueue(1000, 2000), []
    queue.overflowed = lambda: calls.append(1)
    filled(queue, 25)
    assert (calls, queue.qsize(), queue.size) == ([1], 0, 0)
    assert not queue.has_room()
    await queue.put(None)
    assert await queue.get() is None
    queue.task_done()
    await asyncio.wait_for(queue.join(), 1)


async def test_a_queue_hands_out_batches_that_a_stock_client_accepts() -> None:
    queue = OutgoingQueue(10**6, 10**6)
    filled(queue, BATCH + 5)
    for expected in (BATCH, 5):
        got = [await queue.get()]
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                got.append(queue.get_nowait())
        assert len(got) == expected


@given(st.lists(st.floats(0, 5, allow_nan=False), max_size=60), st.integers(1, 5))
def test_a_bucket_never_gives_more_than_burst_and_rate(pauses: list[float], burst: int) -> None:
    now = 100.0
    bucket = TokenBucket(2.0, burst, lambda: now)
    taken = 0
    for pause in pauses:
        now += pause
        wait = bucket.take()
        taken += not wait
        assert 0 <= wait <= 0.5
        assert taken <= burst + 2.0 * (now - 100.0) + 1e-6


def test_a_bucket_gives_again_after_the_wait_it_named_and_counts_refusals_in_a_row() -> None:
    now = 0.0
    bucket = TokenBucket(4.0, 1, lambda: now)
    assert bucket.take() == 0
    assert [bucket.take() > 0 for _ in range(3)] == [True] * 3
    assert bucket.refused == 3
    now += bucket.take()
    assert bucket.take() == 0
    assert bucket.refused == 0


@pytest.mark.parametrize("frame", ["1", "2probe", "3", "5", "40", '40{"token":"x"}', "41", '420["x"]'])
def test_frames_of_an_honest_client_are_expected(frame: str) -> None:
    assert is_expected(frame)


@given(st.one_of(st.binary(), st.text().filter(lambda text: text[:2] not in {"40", "41", "42"})))
def test_anything_else_is_not(frame: str | bytes) -> None:
    assert is_expected(frame) == (frame in {"1", "2probe", "3", "5"})


def test_each_library_error_is_one_refusal(caplog: pytest.LogCaptureFixture) -> None:
    told = {
        "gone": Refused("gone", "it is gone"),
        "token_expired": TokenExpired(),
        "not_a_member": MembershipDenied(),
    }
    for code, error in told.items():
        assert (refusal_of(error).code, refusal_of(error).retry_after) == (code, None)
    away: list[Exception] = [
        KeysUnavailable(7.0),
        DatabaseUnavailable(retry_after=3.0),
        DatabaseTimeout(),
        RedisUnavailable("lost"),
        TimeoutError(),
    ]
    assert [(refusal_of(error).code, refusal_of(error).retry_after) for error in away] == [
        ("unavailable", wait) for wait in (7.0, 3.0, 1.0, 1.0, 1.0)
    ]
    assert caplog.records == []
    for error in (RunNotFound(uuid4()), ZeroDivisionError("hidden")):
        assert refusal_of(error).code == "internal"
        assert "hidden" not in refusal_of(error).message
    assert caplog.records


def test_a_refusal_rounds_its_wait_up() -> None:
    assert Refused("a", "b", retry_after=0.0001).payload() == {
        "code": "a",
        "message": "b",
        "retry_after": 0.001,
    }
    assert Refused("a", "b").payload() == {"code": "a", "message": "b"}


async def test_a_refusal_at_the_door_speaks_the_protocol_it_was_asked_in() -> None:
    scopes: list[dict[str, Any]] = [
        {"type": "http", "method": "GET"},
        {"type": "http", "method": "HEAD"},
        {"type": "websocket", "extensions": {"websocket.http.response": {}}},
        {"type": "websocket"},
    ]
    said: list[list[dict[str, Any]]] = []
    for scope in scopes:
        sent: list[dict[str, Any]] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        await problem(429, "rate_limited", "Too many.", retry_after=0.2)(scope, send)
        said.append(sent)
    http, head, socket, old = said
    assert json.loads(http[1]["body"])["code"] == "rate_limited"
    assert (b"retry-after", b"1") in http[0]["headers"]
    assert head[1]["body"] == b""
    assert [message["type"] for message in socket] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert old == [{"type": "websocket.close"}]


async def test_readiness_is_asked_once_for_many_and_names_what_is_missing() -> None:
    asked: list[str] = []
    release = asyncio.Event()

    async def well() -> None:
        asked.append("well")
        await release.wait()

    async def ill() -> None:
        raise ValueError("with a secret")

    async def late() -> None:
        raise TimeoutError

    probe = Probe({"well": well, "ill": ill, "late": late}, required=frozenset({"well"}))
    answers = [asyncio.create_task(probe.answer()) for _ in range(5)]
    await asyncio.sleep(0)
    release.set()
    told = [json.loads((await answer).body) for answer in answers]
    assert asked == ["well"]
    assert told[0]["status"] == "degraded"
    assert told[0]["missing"] == ["ill", "late"]
    assert told[0]["dependencies"]["ill"] == {"status": "missing", "reason": "ValueError"}
    assert "secret" not in str(told)
    broken = Probe({"well": ill}, required=frozenset({"well"}))
    assert (await broken.answer()).status == 503


async def test_a_wires_timers_are_replaced_and_stopped() -> None:
    loop, fired = asyncio.get_running_loop(), []
    wire = Wire("secret-id", OutgoingQueue(1, 1), TokenBucket(1, 1, loop.time))
    wire.set_timer("a", loop.call_later(60, fired.append, 1))
    replacement = loop.call_later(60, fired.append, 2)
    wire.set_timer("a", replacement)
    assert wire.has_timer("a")
    wire.stop_timers()
    assert replacement.cancelled()
    assert not wire.has_timer("a")
    assert "secret-id" not in repr(wire)
