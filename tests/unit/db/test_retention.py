"""What a policy may say, and how an action reads."""

from __future__ import annotations

from datetime import date

import pytest

from sba_db import InvalidValue
from sba_db.partitions import Partition
from sba_db.retention import KEEPABLE, Action, Kind, Policy


def test_without_anything_said_everything_is_kept():
    assert {table: Policy().months(table) for table in KEEPABLE} == dict.fromkeys(KEEPABLE)


def test_a_table_of_its_own_overrides_the_rest_and_runs_are_kept_unless_named():
    policy = Policy(6, {"audit_logs": 84, "agent_runs": 7})

    assert [policy.months(table) for table in ("audit_logs", "agent_steps", "agent_runs")] == [84, 6, 7]
    assert Policy(6).months("agent_runs") is None


@pytest.mark.parametrize("months", [0, -1, 1201])
def test_months_are_at_least_one_and_not_absurd(months):
    for given in ({"keep_months": months}, {"keep": {"tool_calls": months}}):
        with pytest.raises(InvalidValue, match="between 1 and 1200"):
            Policy(**given)


@pytest.mark.parametrize("ahead", [0, 25])
def test_the_months_ahead_are_few_but_some(ahead):
    with pytest.raises(InvalidValue, match="ahead: must be between 1 and 24"):
        Policy(ahead=ahead)


@pytest.mark.parametrize("table", ["system_health", "audit_seals", "agent_steps_2026_01", ""])
def test_only_what_can_be_kept_by_the_month_can_be_named(table):
    with pytest.raises(InvalidValue, match="is not one of agent_runs"):
        Policy(keep={table: 3})


@pytest.mark.parametrize(
    "given",
    [
        {"keep": {"agent_runs": 3}},
        {"keep_months": 4, "keep": {"agent_runs": 3}},
        {"keep_months": 3, "keep": {"agent_runs": 3, "run_events": 4}},
    ],
)
def test_runs_are_kept_for_as_long_as_what_is_theirs(given):
    with pytest.raises(InvalidValue) as refused:
        Policy(**given)

    assert refused.value.field == "agent_runs"


def test_an_action_reads_as_a_line():
    month = date(2026, 1, 1)
    lines: dict[Action, str] = {
        Action(
            Kind.MAKE, "run_events", month, 3
        ): "make run_events_2026_01 with 3 rows of run_events_default",
        Action(Kind.DROP, "run_events", month, bytes=8192): "drop run_events_2026_01 (8192 bytes)",
        Action(Kind.CHECKPOINT, "audit_logs", month): "checkpoint the audit chains before 2026-01-01",
        Action(Kind.TRIM, "tool_calls", month, 2): "delete 2 rows before 2026-01-01 of tool_calls_default",
        Action(Kind.EXPIRE, "agent_runs", month, 5): "delete 5 runs that finished before 2026-01-01",
        Action(Kind.SWEEP, "idempotency_keys", rows=1): "delete 1 expired idempotency keys",
        Action(Kind.ANALYZE, "tool_calls"): "analyze tool_calls",
    }

    assert {action: str(action) for action in lines} == lines


def test_an_action_about_no_month_has_no_partition():
    assert Action(Kind.DROP, "tool_calls", date(2026, 12, 1)).partition == Partition(
        "tool_calls", date(2026, 12, 1)
    )
    with pytest.raises(InvalidValue):
        _ = Action(Kind.SWEEP, "idempotency_keys").partition
