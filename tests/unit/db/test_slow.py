"""What is said of a slow statement: its shape without values, and not too often."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sba_db import DatabaseUnavailable
from sba_db.slow import SlowStatements, current_method, shape_of, without_values
from sba_resilience.testing import FakeClock
from sba_telemetry import configure_logging, reset_logging

QUERY = "select * from service.agent_runs where tenant_id = %(tenant)s"
TEXTS = st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"]), min_size=3)


class Log:
    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream

    def events(self, name: str) -> list[dict]:
        lines = map(json.loads, self.stream.getvalue().splitlines())
        return [line for line in lines if line["event"] == name]


@pytest.fixture
def log() -> Iterator[Log]:
    stream = io.StringIO()
    configure_logging(service="test", stream=stream)
    yield Log(stream)
    reset_logging()


def test_a_shape_is_one_line_without_constants():
    shape = shape_of("select  *\n from t\twhere a = 'it''s' and b = -1.5e3 and c = %(c)s limit 10")

    assert shape.text == "select * from t where a = ? and b = ? and c = %(c)s limit ?"


def test_statements_that_differ_in_constants_only_have_one_fingerprint():
    fingerprints = {shape_of(f"select {n} from  t where x = '{n}'").fingerprint for n in range(5)}

    assert len(fingerprints) == 1
    assert shape_of("select 1 from u where x = '1'").fingerprint not in fingerprints


def test_a_long_statement_is_cut_but_its_fingerprint_is_of_all_of_it():
    long = "select a from t where " + " or ".join(f"column_{name} is null" for name in "abcdefgh" * 20)

    assert len(shape_of(long).text) == 500
    assert shape_of(long).fingerprint != shape_of(long + " or z is null").fingerprint


@given(TEXTS)
def test_no_quoted_text_of_a_statement_is_in_its_shape(secret):
    assert shape_of(f"select 1 where a = '{secret}'").text == "select ? where a = ?"


@given(TEXTS)
def test_a_plan_keeps_costs_and_loses_every_value(secret):
    plan = "\n".join(
        [
            "Index Scan using agent_runs_pkey on agent_runs r  (cost=0.28..8.30 rows=1 width=200)",
            f"  Index Cond: (tenant_id = '{secret}'::uuid)",
            "  Filter: (step_seq > 4711)",
        ]
    )

    assert without_values(plan).splitlines() == [
        "Index Scan using agent_runs_pkey on agent_runs r  (cost=0.28..8.30 rows=1 width=200)",
        "  Index Cond: (tenant_id = ?::uuid)",
        "  Filter: (step_seq > ?)",
    ]


def note(slow: SlowStatements, method: str = "agent_runs.get_run", query=QUERY) -> None:
    token = current_method.set(method)
    slow.note((query, {"tenant": "secret-value"}), seconds=1.25, rows=3, outcome="ok")
    current_method.reset(token)


def test_a_line_names_the_method_the_time_the_rows_and_the_shape(log):
    note(SlowStatements(0.5, clock=FakeClock()))

    (line,) = log.events("slow_statement")
    assert (line["method"], line["milliseconds"], line["rows"]) == ("agent_runs.get_run", 1250, 3)
    assert (line["statement"], line["outcome"]) == (QUERY, "ok")
    assert "secret-value" not in log.stream.getvalue()


def test_a_method_is_told_of_once_a_second_with_what_was_left_out(log):
    clock = FakeClock()
    slow = SlowStatements(0.5, clock=clock)
    for _ in range(5):
        note(slow)
    note(slow, "agent_runs.list_runs")
    clock.advance(1.0)
    note(slow)

    lines = [(line["method"], line["left_out"]) for line in log.events("slow_statement")]
    assert lines == [("agent_runs.get_run", 0), ("agent_runs.list_runs", 0), ("agent_runs.get_run", 4)]


class Plans:
    """Answers plans when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, statement) -> str:
        self.asked.append(statement[0])
        await self.go.wait()
        return "Result  (cost=0.00..0.01 rows=1 width=4)\n  One-Time Filter: ('secret'::text = 'x'::text)"


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_plan_is_asked_for_once_a_minute_and_method_and_one_at_a_time(log):
    clock, plans = FakeClock(), Plans()
    slow = SlowStatements(0.5, explain=plans, clock=clock)
    note(slow, "a.b")
    note(slow, "c.d")
    await turns()
    assert len(plans.asked) == 1

    plans.go.set()
    await turns()
    clock.advance(30)
    note(slow, "a.b")
    note(slow, "c.d")
    await turns()
    assert len(plans.asked) == 2
    clock.advance(31)
    note(slow, "a.b")
    await turns()
    assert len(plans.asked) == 3
    told = log.events("slow_statement_plan")
    assert [line["method"] for line in told] == ["a.b", "c.d", "a.b"]
    assert told[0]["plan"].splitlines()[1] == "  One-Time Filter: (?::text = ?::text)"
    assert told[0]["fingerprint"] == shape_of(QUERY).fingerprint


@pytest.mark.parametrize("query", ["commit", "begin read write", "create table t ()"])
async def test_what_has_no_plan_is_not_explained(query):
    plans = Plans()
    note(SlowStatements(0.5, explain=plans, clock=FakeClock()), query=query)
    await turns()

    assert plans.asked == []


async def test_a_plan_that_cannot_be_had_is_a_line_and_no_error(log):
    async def away(_) -> str:
        raise DatabaseUnavailable

    note(SlowStatements(0.5, explain=away, clock=FakeClock()))
    await turns()

    (line,) = log.events("slow_statement_not_explained")
    assert line["reason"] == "DatabaseUnavailable"


async def test_closing_gives_up_the_plan_that_is_being_asked_for(log):
    plans = Plans()
    slow = SlowStatements(0.5, explain=plans, clock=FakeClock())
    await slow.close()
    note(slow)
    await turns()
    await slow.close()

    assert len(plans.asked) == 1
    assert log.events("slow_statement_plan") == []
