"""Retention makes months, drops what a policy no longer keeps, and nothing else."""

from __future__ import annotations

import asyncio
import uuid

import psycopg
import pytest
from click.testing import CliRunner

from sba_db import (
    AccessDenied,
    DatabaseTimeout,
    DatabaseUnavailable,
    MigrationLocked,
    UnsafeRole,
    agent_runs,
    agent_steps,
    migrate,
)
from sba_db.check import check
from sba_db.cli import main
from sba_db.migrate import owner_connection
from sba_db.partitions import TABLES
from sba_db.retention import Action, Kind, Policy, retention
from tests.integration.db.conftest import claim, new_run, until
from tests.integration.db.months import (
    PARTITIONED,
    content,
    first_day,
    id_at,
    month,
    partition,
    partitions_of,
    query,
    write_history,
)

OLDEST = -6


@pytest.fixture
async def history(database_urls, a, b):
    """Rows of two tenants, each of the last six months in partitions of its own."""
    for tenant in (a, b):
        write_history(database_urls.admin, tenant.id, start=month(OLDEST), end=month(0), every=86_400.0)
    await retention(database_urls.migrator, Policy())
    return database_urls


def months_of(url: str, table: str) -> list[str]:
    prefix = f"service.{table}_"
    names = [name.removeprefix(prefix) for name in partitions_of(url, table)]
    return [name for name in names if name != "default"]


def expected(first: int) -> list[str]:
    return [f"{month(number):%Y_%m}" for number in range(first, 4)]


async def test_without_a_policy_months_are_made_and_nothing_is_dropped(database_urls, a):
    write_history(database_urls.admin, a.id, start=month(-2), end=month(0), every=86_400.0)
    before = content(database_urls.admin)
    done = await retention(database_urls.migrator, Policy(ahead=5))
    again = await retention(database_urls.migrator, Policy(ahead=5))

    assert content(database_urls.admin) == before
    assert {one.kind for one in done} == {Kind.MAKE, Kind.ANALYZE}
    assert sum(one.rows for one in done if one.table == "run_events") == len(before["run_events"]) - 2
    assert again == []
    for table in TABLES:
        assert months_of(database_urls.admin, table) == [f"{month(number):%Y_%m}" for number in range(-2, 6)]
        assert len(query(database_urls.admin, f"select 1 from service.{table}_default")) == 0


async def test_months_that_the_policy_no_longer_keeps_go_and_no_others(history):
    before = content(history.admin)
    told: list[Action] = []
    done = await retention(history.migrator, Policy(2, {"agent_steps": 4, "audit_logs": 12}), told.append)

    assert told == done
    kept = dict.fromkeys(PARTITIONED, -2) | {"agent_steps": -4, "audit_logs": OLDEST}
    assert {table: months_of(history.admin, table) for table in PARTITIONED} == {
        table: expected(first) for table, first in kept.items()
    }
    after = content(history.admin)
    assert after["audit_logs"] == before["audit_logs"]
    assert after["agent_runs"] == before["agent_runs"]
    assert all(set(after[table]) <= set(before[table]) for table in PARTITIONED)
    oldest = query(history.admin, "select min(period) from service.usage_metrics")[0]
    assert oldest == month(-2)
    assert await check(history.migrator) == []


async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(history):
    query(history.admin, f"drop table service.{partition('tool_calls', 3)}")
    before = content(history.admin), {table: months_of(history.admin, table) for table in TABLES}
    policy = Policy(3, {"agent_runs": 3})
    would = await retention(history.migrator, policy, dry_run=True)

    assert (content(history.admin), {table: months_of(history.admin, table) for table in TABLES}) == before
    assert await retention(history.migrator, policy) == would
    assert [one for one in would if one.kind is Kind.MAKE] == [Action(Kind.MAKE, "tool_calls", first_day(3))]
    assert await retention(history.migrator, policy, dry_run=True) == []


async def test_the_audit_chains_are_checkpointed_before_audit_rows_go(history):
    seen: list[tuple[uuid.UUID, list[str]]] = []

    async def checkpoint(connection, before):
        seen.append((before, months_of(history.admin, "audit_logs")))

    policy = Policy(keep={"audit_logs": 2})
    await retention(history.migrator, policy, checkpoint=checkpoint)
    await retention(history.migrator, policy, checkpoint=checkpoint)

    assert [(str(before), there) for before, there in seen] == [
        (str(uuid.UUID(int=round(month(-2).timestamp() * 1000) << 80)), expected(OLDEST))
    ]
    assert months_of(history.admin, "audit_logs") == expected(-2)


async def test_audit_rows_stay_when_their_checkpoint_fails(history):
    async def checkpoint(connection, before):
        raise AccessDenied("no")

    before = content(history.admin, ("audit_logs",))
    with pytest.raises(AccessDenied):
        await retention(history.migrator, Policy(keep={"audit_logs": 2}), checkpoint=checkpoint)

    assert content(history.admin, ("audit_logs",)) == before


async def test_late_rows_of_a_month_that_has_gone_are_written_and_go_with_the_next_retention(history, a):
    policy = Policy(2)
    await retention(history.migrator, policy)
    late = id_at(month(-4))
    insert = "insert into service.audit_logs (tenant_id, id, action, resource_type, resource_id)"
    query(history.admin, f"{insert} values (%s, %s, 'a', 'b', 'c')", (a.id, late))
    assert query(history.admin, "select id from service.audit_logs_default") == [late]
    done = await retention(history.migrator, policy)

    assert [(one.kind, one.table, one.rows) for one in done] == [
        (Kind.CHECKPOINT, "audit_logs", 0),
        (Kind.TRIM, "audit_logs", 1),
        (Kind.ANALYZE, "audit_logs", 0),
    ]
    assert query(history.admin, "select id from service.audit_logs where id = %s", (late,)) == []


async def test_what_lies_ahead_of_all_months_stays_in_the_default_partition(history, a):
    strange = uuid.uuid4()
    strange = uuid.UUID(int=strange.int | 0xFF << 120)
    insert = "insert into service.audit_logs (tenant_id, id, action, resource_type, resource_id)"
    query(history.admin, f"{insert} values (%s, %s, 'a', 'b', 'c')", (a.id, strange))

    assert await retention(history.migrator, Policy()) == []
    assert query(history.admin, "select id from service.audit_logs_default") == [strange]


async def test_a_partition_that_is_not_what_its_name_says_is_never_dropped(history):
    months = ("'2001-01-01'", "'2001-06-01'")
    query(
        history.admin,
        "create table service.usage_metrics_2001_01 partition of service.usage_metrics"
        f" for values from ({months[0]}) to ({months[1]});"
        " create table service.usage_metrics_archive partition of service.usage_metrics"
        " for values from ('2000-01-01') to ('2000-02-01')",
    )
    await retention(history.migrator, Policy(2))

    there = partitions_of(history.admin, "usage_metrics")
    assert {"service.usage_metrics_2001_01", "service.usage_metrics_archive"} <= set(there)


async def test_old_finished_runs_go_with_all_that_is_theirs_and_unfinished_ones_stay(history, database, a, b):
    fresh = await new_run(database, a)
    query(
        history.admin,
        "insert into service.agent_runs (tenant_id, id, user_id, prompt, created_at)"
        " values (%s, %s, %s, 'never claimed', %s)",
        (b.id, id_at(month(-5)), b.user, month(-5)),
    )
    done = await retention(history.migrator, Policy(3, {"agent_runs": 3}))

    assert [one.rows for one in done if one.kind is Kind.EXPIRE] == [2 * (month(-3) - month(OLDEST)).days]
    left = "select status::text from service.agent_runs where created_at < %s"
    assert query(history.admin, left, (month(-3),)) == ["queued"]
    newer = query(history.admin, "select 1 from service.agent_runs where created_at >= %s", (month(-3),))
    assert len(newer) == 2 * ((month(0) - month(-3)).days + 1) + 1
    orphans = "select count(*) from service.{} c where not exists (select from service.agent_runs r"
    for table in ("agent_steps", "run_events", "tool_calls"):
        query_ = f"{orphans.format(table)} where (r.tenant_id, r.id) = (c.tenant_id, c.run_id))"
        assert query(history.admin, query_) == [0]
    assert await agent_runs.get_run(database.reader(a.id), fresh.id) is not None


async def test_runs_go_in_batches_until_none_is_left(history, monkeypatch):
    monkeypatch.setattr("sba_db.retention.RUNS_AT_ONCE", 7)
    done = await retention(history.migrator, Policy(1, {"agent_runs": 1}))

    assert [one.rows for one in done if one.kind is Kind.EXPIRE] == [2 * (month(-1) - month(OLDEST)).days]
    assert query(history.admin, "select 1 from service.agent_runs where created_at < %s", (month(-1),)) == []


async def test_expired_keys_are_swept_and_live_ones_stay(database, database_urls, a, b, monkeypatch):
    monkeypatch.setattr("sba_db.retention.KEYS_AT_ONCE", 2)
    for tenant in (a, b):
        for number in range(5):
            await new_run(database, tenant, idempotency_key=f"k{number}")
    query(
        database_urls.admin,
        "update service.idempotency_keys set expires_at = now() - interval '1 s' where key <> 'k3'",
    )
    done = await retention(database_urls.migrator, Policy())

    assert [(one.kind, one.rows) for one in done] == [(Kind.SWEEP, 8)]
    assert query(database_urls.admin, "select key from service.idempotency_keys") == ["k3", "k3"]
    assert (await new_run(database, a, idempotency_key="k3")).replayed
    assert not (await new_run(database, a, idempotency_key="k1")).replayed


async def test_the_owner_sees_nothing_of_the_runs_and_keys_that_are_not_over(database, database_urls, a):
    await new_run(database, a, idempotency_key="live")
    async with owner_connection(database_urls.migrator) as connection:
        for table in ("agent_runs", "idempotency_keys"):
            cursor = await connection.execute(f"select 1 from service.{table}".encode())
            assert await cursor.fetchall() == []
            assert (await connection.execute(f"delete from service.{table}".encode())).rowcount == 0


async def test_two_retentions_at_once_do_each_thing_once(database_urls, a):
    write_history(database_urls.admin, a.id, start=month(OLDEST), end=month(0), every=86_400.0)
    before = content(database_urls.admin, ("agent_runs",))
    url, policy = database_urls.migrator, Policy(2, {"agent_runs": 2})
    results = await asyncio.gather(*(retention(url, policy) for _ in range(3)), return_exceptions=True)

    assert all(isinstance(one, list | MigrationLocked) for one in results)
    done = [action for one in results if isinstance(one, list) for action in one]
    made = [one.partition.name for one in done if one.kind is Kind.MAKE]
    assert len(made) == len(set(made)) > 0
    left = content(database_urls.admin, ("agent_runs",))
    gone = sum(one.rows for one in done if one.kind is Kind.EXPIRE)
    assert gone == len(before["agent_runs"]) - len(left["agent_runs"]) > 0
    assert await retention(url, policy) == []


async def test_a_table_in_use_is_tried_again_until_it_is_free(history, database_urls):
    name = f"service.{partition('tool_calls', OLDEST)}"
    with psycopg.connect(database_urls.admin) as reader:
        reader.execute(f"select count(*) from {name}")
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            reader.rollback()

        await retention(history.migrator, Policy(keep={"tool_calls": 5}), sleep=sleep)

    assert len(waits) == 1
    assert months_of(history.admin, "tool_calls") == expected(-5)


async def test_a_table_that_stays_in_use_is_given_up_and_the_rest_can_be_done_later(history, monkeypatch):
    monkeypatch.setattr("sba_db.retention.LOCK_WAIT", 0.05)

    async def sleep(_: float) -> None:
        """Nobody lets go meanwhile."""

    with psycopg.connect(history.admin) as reader:
        reader.execute(f"select count(*) from service.{partition('tool_calls', OLDEST)}")
        with pytest.raises(DatabaseTimeout):
            await retention(history.migrator, Policy(5), sleep=sleep)

    assert months_of(history.admin, "run_events") == expected(-5)
    await retention(history.migrator, Policy(5))
    assert all(months_of(history.admin, table) == expected(-5) for table in TABLES)


async def test_retention_and_a_migration_do_not_meet(database_urls):
    url = database_urls.migrator
    async with owner_connection(url) as rival, migrate.migration_lock(rival):
        with pytest.raises(MigrationLocked):
            await retention(url, Policy())
    with pytest.raises(UnsafeRole):
        await retention(database_urls.app, Policy())


async def test_writers_go_on_while_months_are_dropped_and_made(history, database, a):
    stop = asyncio.Event()
    run = await new_run(database, a)
    lease = await claim(database, a, run.id, ttl=300.0)

    async def write() -> int:
        while not stop.is_set():
            async with database.tenant(a.id) as session:
                await agent_steps.append_step(session, lease=lease, kind="k", input={}, output={})
        return len(await agent_steps.list_steps(database.reader(a.id), run.id))

    async def wrote_more(than: int) -> bool:
        return len(await agent_steps.list_steps(database.reader(a.id), run.id)) > than

    writer = asyncio.create_task(write())
    await until(lambda: wrote_more(0))
    done = await retention(history.migrator, Policy(2, ahead=5))
    there = len(await agent_steps.list_steps(database.reader(a.id), run.id))
    await until(lambda: wrote_more(there))
    stop.set()

    assert await writer > 0
    assert {one.kind for one in done} == {Kind.MAKE, Kind.DROP, Kind.CHECKPOINT, Kind.ANALYZE}


async def test_a_retention_that_is_killed_leaves_all_or_nothing_of_an_action(history):
    query(history.admin, f"drop table service.{partition('run_events', 3)}")
    before = content(history.admin)
    waiting = (
        "select pid from pg_locks where not granted and relation = 'service.run_events_default'::regclass"
    )

    async def is_waiting() -> bool:
        return bool(query(history.admin, waiting))

    with psycopg.connect(history.admin) as writer:
        writer.execute("lock table service.run_events_default in row exclusive mode")
        keeping = asyncio.create_task(retention(history.migrator, Policy()))
        await until(is_waiting)
        query(history.admin, f"select pg_terminate_backend(pid) from ({waiting}) w")
        with pytest.raises(DatabaseUnavailable):
            await keeping

    assert content(history.admin) == before
    assert f"{month(3):%Y_%m}" not in months_of(history.admin, "run_events")
    await retention(history.migrator, Policy())
    assert months_of(history.admin, "run_events") == expected(OLDEST)
    assert await check(history.migrator) == []


async def test_a_listener_that_fails_ends_retention_and_leaves_no_lock(history):
    def fail(_: Action) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await retention(history.migrator, Policy(5), fail)

    assert {one.kind for one in await retention(history.migrator, Policy(5))} >= {Kind.DROP}


def test_the_command_line_says_what_it_does_and_would_do(database_urls):
    run, environment = CliRunner().invoke, {"SBA_MIGRATION_DATABASE_URL": database_urls.migrator}
    old = f"{month(-4):%Y_%m}"
    query(
        database_urls.admin,
        "set role sba_owner; "
        + "; ".join(f"select service.add_partition('{table}', '{first_day(-4)}')" for table in TABLES),
    )
    options = ["retention", "--keep-months", "3", "--keep", "audit_logs=9", "--ahead", "4"]
    would = run(main, [*options, "--dry-run"], env=environment)
    done = run(main, options, env=environment)
    again = run(main, options, env=environment)

    assert [one.exit_code for one in (would, done, again)] == [0, 0, 0]
    assert [line.removeprefix("would ") for line in would.output.splitlines()] == done.output.splitlines()
    assert f"drop agent_steps_{old} (" in done.output
    assert f"make audit_logs_{month(4):%Y_%m} with 0 rows of audit_logs_default" in done.output
    assert f"audit_logs_{old}" not in done.output
    assert again.output == "nothing to do\n"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("nothing", "'nothing' is not TABLE=MONTHS"),
        ("agent_steps=-1", "is not TABLE=MONTHS"),
        ("agent_steps=0", "agent_steps: must be between 1 and 1200 months"),
        ("system_health=3", "system_health: is not one of"),
        ("agent_runs=3", "agent_runs: go with their agent_steps"),
    ],
)
def test_the_command_line_refuses_a_policy_that_makes_no_sense(option, said):
    result = CliRunner().invoke(
        main, ["retention", "--url", "postgresql://u@127.0.0.1:9/x", "--keep", option]
    )

    assert result.exit_code != 0
    assert said in result.output
