"""Rows of many months, written by a superuser; ids carry their moment as those made in Python do."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

ID_AT = """
create or replace function pg_temp.id_at(moment timestamptz) returns uuid language sql volatile as $$
    select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || '7'
            || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid
    from md5(random()::text || clock_timestamp()::text) h
$$
"""
HISTORY = """
with run as (
    insert into service.agent_runs (tenant_id, id, user_id, prompt, status, result, finished_at, created_at)
    select %(tenant)s, pg_temp.id_at(at), %(user)s, 'hello', 'succeeded', '{"a": 1}', at, at
    from generate_series(%(start)s::timestamptz, %(end)s::timestamptz, make_interval(secs => %(every)s)) at
    returning tenant_id, id, created_at as at
), step as (
    insert into service.agent_steps
        (tenant_id, id, run_id, seq, attempt, kind, name, status, input, created_at)
    select tenant_id, pg_temp.id_at(at), id, n, 1, 'think', 'näme', 'succeeded', '{"x": [1, null]}', at
    from run, generate_series(1, %(steps)s) n
    returning tenant_id, id, run_id, seq, created_at as at
), event as (
    insert into service.run_events (tenant_id, run_id, seq, type, data, created_at)
    select tenant_id, run_id, seq, 'step.finished', '{}', at from step
), call as (
    insert into service.tool_calls
        (tenant_id, id, run_id, step_id, name, status, arguments, error, duration_ms, created_at)
    select tenant_id, pg_temp.id_at(at), run_id, id, 'search', 'failed', '{"q": "?"}', '{"code": "x"}', 3, at
    from step where seq = 1
), audit as (
    insert into service.audit_logs
        (tenant_id, id, actor_id, action, resource_type, resource_id, after, created_at)
    select tenant_id, pg_temp.id_at(at), null, 'run.create', 'agent_run', id::text, '{"b": 2.50}', at from run
)
insert into service.usage_metrics (tenant_id, period, metric, value, updated_at)
select distinct %(tenant)s::uuid, date_trunc('hour', at), 'tokens', 1.000001, at from run
on conflict do nothing
"""
TABLES = ("agent_runs", "agent_steps", "audit_logs", "run_events", "tool_calls", "usage_metrics")
PARTITIONED = TABLES[1:]


def write_history(
    url: str, tenant: UUID, *, start: datetime, end: datetime, every: float, steps: int = 2
) -> None:
    """A run every so many seconds, with steps, an event each, a call, an audit row and usage of the hour."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ID_AT)
        connection.execute("set session_replication_role = replica")
        connection.execute(
            HISTORY,
            {"tenant": tenant, "user": uuid4(), "start": start, "end": end, "every": every, "steps": steps},
        )


def content(url: str, tables: tuple[str, ...] = TABLES) -> dict[str, list[str]]:
    """What every row of each table has, as text; a column without a value is as good as none."""
    rows = "select jsonb_strip_nulls(to_jsonb(t))::text from service.{} t order by 1"
    with psycopg.connect(url) as connection:
        return {table: [row[0] for row in connection.execute(rows.format(table))] for table in tables}


def query(url: str, statement: str, params: Any = ()) -> list[Any]:
    """The first column of what a statement answers."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, params)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


def partitions_of(url: str, table: str) -> list[str]:
    return query(
        url,
        "select inhrelid::regclass::text from pg_inherits where inhparent = %s::regclass order by 1",
        (f"service.{table}",),
    )


def month(number: int, *, day: int = 1) -> datetime:
    """A moment this many months from now, by the clock of who runs the tests."""
    today = datetime.now(UTC)
    years, of_year = divmod(today.year * 12 + today.month - 1 + number, 12)
    return datetime(years, of_year + 1, day, tzinfo=UTC)


def first_day(number: int) -> date:
    return month(number).date()


def partition(table: str, number: int) -> str:
    """The name of a table's partition of the month that is so many months from now."""
    return f"{table}_{month(number):%Y_%m}"


def id_at(moment: datetime) -> UUID:
    """An id of version 7 made at a moment."""
    milliseconds = round(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | uuid4().int & ((1 << 62) - 1))
