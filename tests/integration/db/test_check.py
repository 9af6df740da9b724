"""`sba-db check` finds every way in which a database can differ from what was declared, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from sba_db import AccessDenied, DatabaseUnavailable, MigrationFailed, MigrationLocked, UnsafeRole, migrate
from sba_db.check import check
from sba_db.cli import main
from sba_db.models.shape import TENANT
from sba_db.models.tables import ENUMS, TABLES

RUNS = "alter table service.agent_runs"
FENCE = "(tenant_id = (select service.current_tenant()))"

DECLARED = [
    ("drop table service.run_events", ["run_events: table is missing"]),
    (
        "create table service.extra (id int)",
        ["extra: table is not in schema.prisma"],
    ),
    (
        f"{RUNS} drop column duration_ms cascade",
        [
            "agent_runs: check agent_runs_counters is missing: CHECK (((attempt >= 0) AND (lease_token >= 0)"
            " AND (step_seq >= 0) AND (event_seq >= 0) AND (duration_ms >= 0)))",
            "agent_runs.duration_ms: column is missing",
        ],
    ),
    (f"{RUNS} add note text", ["agent_runs.note: column is not in schema.prisma"]),
    (
        "alter table service.usage_metrics alter updated_at type timestamp(3)",
        [
            "usage_metrics.updated_at: type is timestamp(3) without time zone,"
            " schema.prisma says timestamp(6) with time zone"
        ],
    ),
    (
        "alter table service.usage_metrics alter value type numeric(24, 2)",
        ["usage_metrics.value: type is numeric(24,2), schema.prisma says numeric(24,6)"],
    ),
    (f"{RUNS} alter user_id drop not null", ["agent_runs.user_id: is NULL, schema.prisma says NOT NULL"]),
    (
        f"{RUNS} alter lease_holder set not null",
        ["agent_runs.lease_holder: is NOT NULL, schema.prisma says NULL"],
    ),
    (f"{RUNS} alter status drop default", ["agent_runs.status: default is none, schema.prisma says queued"]),
    (
        f"{RUNS} alter status set default 'running'",
        ["agent_runs.status: default is 'running'::service.run_status, schema.prisma says queued"],
    ),
    (
        f"{RUNS} alter prompt set default 'x'",
        ["agent_runs.prompt: default is 'x'::text, schema.prisma says none"],
    ),
    (
        "alter type service.step_status add value 'skipped'",
        ["step_status: has the labels succeeded, failed, skipped, schema.prisma says succeeded, failed"],
    ),
    ("create type service.mood as enum ('good')", ["mood: enumeration is not in schema.prisma"]),
    (
        "alter type service.health_status rename to fitness",
        [
            "fitness: enumeration is not in schema.prisma",
            "health_status: enumeration is missing",
            "system_health.status: type is service.fitness, schema.prisma says service.health_status",
        ],
    ),
    (
        "alter table service.audit_logs drop constraint audit_logs_pkey",
        ["audit_logs: primary key is none, schema.prisma says audit_logs_pkey (tenant_id, id) unique btree"],
    ),
    (
        "drop index service.agent_runs_tenant_id_user_id_id_idx",
        ["agent_runs: index agent_runs_tenant_id_user_id_id_idx (tenant_id, user_id, id) btree is missing"],
    ),
    (
        "create index extra on service.agent_runs (tenant_id, created_at desc)",
        ["agent_runs: index extra (tenant_id, created_at desc) btree is not in schema.prisma"],
    ),
    (
        "drop index service.system_health_component_id_idx;"
        " create unique index system_health_component_id_idx on service.system_health (component, id)",
        [
            "system_health: index is system_health_component_id_idx (component, id) unique btree,"
            " schema.prisma says system_health_component_id_idx (component, id) btree"
        ],
    ),
    (
        "alter table service.run_events drop constraint run_events_tenant_id_run_id_fkey",
        [
            "run_events: reference (tenant_id, run_id) to agent_runs (tenant_id, id)"
            " on delete cascade on update cascade is missing"
        ],
    ),
    (
        "alter table service.audit_logs add foreign key (tenant_id, id)"
        " references service.agent_runs on delete restrict not valid",
        [
            "audit_logs: audit_logs_tenant_id_id_fkey is not valid",
            "audit_logs: reference (tenant_id, id) to agent_runs (tenant_id, id)"
            " on delete restrict on update no action is not in schema.prisma",
        ],
    ),
]
MADE_BY_MIGRATIONS = [
    (
        f"{RUNS} drop constraint agent_runs_prompt_size",
        [
            "agent_runs: check agent_runs_prompt_size is missing:"
            " CHECK (((octet_length(prompt) >= 1) AND (octet_length(prompt) <= 32768)))"
        ],
    ),
    (
        "alter table service.tool_calls drop constraint tool_calls_duration,"
        " add constraint tool_calls_duration check (duration_ms >= -1)",
        [
            "tool_calls: check tool_calls_duration is CHECK ((duration_ms >= '-1'::integer)),"
            " the migrations make CHECK ((duration_ms >= 0))"
        ],
    ),
    (
        "create index extra on service.agent_runs (tenant_id) where status = 'queued'",
        [
            "agent_runs: index extra is not in the migrations: CREATE INDEX extra ON service.agent_runs"
            " USING btree (tenant_id) WHERE (status = 'queued'::service.run_status)"
        ],
    ),
    (
        "grant delete on service.agent_runs to sba_app",
        [
            "agent_runs: grant to sba_app is DELETE, INSERT, SELECT, UPDATE,"
            " the migrations make INSERT, SELECT, UPDATE"
        ],
    ),
    (
        "grant update (prompt) on service.agent_runs to sba_worker",
        ["agent_runs.prompt: grant to sba_worker is not in the migrations: UPDATE"],
    ),
    (
        "grant create on schema service to sba_app",
        ["schema service: grant to sba_app is CREATE, USAGE, the migrations make USAGE"],
    ),
    (
        "grant execute on function service.current_tenant() to public",
        ["current_tenant(): grant to public is not in the migrations: EXECUTE"],
    ),
    (
        "alter table service.system_health owner to sba_migrator",
        ["system_health: owner is sba_migrator, the migrations make sba_owner"],
    ),
    (
        "create view service.peek as select 1 as one",
        ["peek: view is not in the migrations: SELECT 1 AS one;"],
    ),
    (
        "create function service.sneak() returns int language sql return 1;"
        " revoke all on function service.sneak() from public;"
        " alter function service.sneak() owner to sba_owner",
        [
            "sneak(): function is not in the migrations: CREATE OR REPLACE FUNCTION service.sneak()"
            " RETURNS integer LANGUAGE sql RETURN 1 owner sba_owner"
        ],
    ),
    (
        "create trigger tick before update on service.system_health"
        " for each row execute function suppress_redundant_updates_trigger()",
        [
            "system_health: trigger tick is not in the migrations: CREATE TRIGGER tick BEFORE UPDATE ON"
            " service.system_health FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger() O"
        ],
    ),
    (
        f"create policy narrower on service.audit_logs as restrictive using {FENCE}",
        [
            "audit_logs: policy narrower is not in the migrations: restrictive * {public}"
            " using (tenant_id = ( SELECT service.current_tenant() AS current_tenant))"
        ],
    ),
]
TENANCY = [
    (f"{RUNS} disable row level security", ["agent_runs: row level security is not enabled"]),
    (f"{RUNS} no force row level security", ["agent_runs: row level security is not forced"]),
    (
        "drop policy tenant on service.tool_calls",
        ["tool_calls: has no policy that binds everyone to the tenant for every command"],
    ),
    (
        "alter policy tenant on service.tool_calls with check (true)",
        [
            "tool_calls: has no policy that binds everyone to the tenant for every command",
            "tool_calls: policy tenant lets through more than the tenant's rows",
        ],
    ),
    (
        "create policy peek on service.tool_calls for select to sba_worker using (true)",
        ["tool_calls: policy peek lets through more than the tenant's rows"],
    ),
    (
        "create table service.stray (tenant_id uuid)",
        [
            "stray: has no policy that binds everyone to the tenant for every command",
            "stray: row level security is not enabled",
            "stray: row level security is not forced",
        ],
    ),
    (
        f"create table service.parts (tenant_id uuid, id uuid) partition by range (id);"
        " alter table service.parts enable row level security, force row level security;"
        f" create policy tenant on service.parts using {FENCE};"
        " create table service.part partition of service.parts default;"
        " grant select on service.part to sba_app",
        ["part: partition without row level security is granted to sba_app"],
    ),
]


def plant(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def lines(found) -> list[str]:
    return sorted(map(str, found))


async def test_a_migrated_database_is_as_declared(database_urls):
    assert await check(database_urls.migrator) == []


@pytest.mark.parametrize(("drift", "expected"), DECLARED + MADE_BY_MIGRATIONS, ids=lambda one: str(one)[:60])
async def test_a_planted_drift_is_named_exactly(database_urls, drift, expected):
    plant(database_urls.admin, drift)

    assert lines(await check(database_urls.migrator)) == sorted(expected)


@pytest.mark.parametrize(("drift", "expected"), TENANCY, ids=lambda one: str(one)[:60])
async def test_a_table_that_does_not_hold_tenants_apart_is_named(database_urls, drift, expected):
    plant(database_urls.admin, drift)

    assert set(expected) <= set(lines(await check(database_urls.migrator, rehearse=False)))


async def test_partitions_that_nobody_may_read_directly_are_no_difference(database_urls):
    plant(
        database_urls.admin,
        "create table service.parts (tenant_id uuid, id uuid) partition by range (id);"
        " create table service.part partition of service.parts default",
    )

    assert not [one for one in await check(database_urls.migrator, rehearse=False) if one.place == "part"]


async def test_a_policy_for_a_role_that_no_session_can_become_lets_nobody_through(database_urls, engines):
    role = f"inner_{database_urls.name}"
    plant(
        database_urls.admin,
        f"create role {role} nologin;"
        f" create policy inside on service.audit_logs for select to {role} using (true)",
    )
    alone = await check(database_urls.migrator, rehearse=False)
    plant(database_urls.admin, f"grant {role} to sba_worker")
    reachable = await check(database_urls.migrator, rehearse=False)
    plant(database_urls.admin, f"drop policy inside on service.audit_logs; drop role {role}")

    assert alone == []
    assert lines(reachable) == ["audit_logs: policy inside lets through more than the tenant's rows"]


async def test_an_index_that_was_left_invalid_is_no_index(database_urls):
    plant(
        database_urls.admin,
        "update pg_index set indisvalid = false"
        " where indexrelid = 'service.agent_runs_tenant_id_user_id_id_idx'::regclass",
    )

    assert lines(await check(database_urls.migrator)) == [
        "agent_runs: agent_runs_tenant_id_user_id_id_idx is not valid"
    ]


async def test_a_database_without_anything_lacks_everything(blank_database):
    found = lines(await check(blank_database.migrator, rehearse=False))

    assert {f"{table.name}: table is missing" for table in TABLES} <= set(found)
    assert {f"{name}: enumeration is missing" for name in ENUMS} <= set(found)
    assert "20261101000000_init: migration is pending" in found


async def test_comparing_leaves_the_database_as_it_was_and_in_use(database_urls, a):
    before = snapshot(database_urls.admin)
    async with await psycopg.AsyncConnection.connect(database_urls.admin) as writer:
        await writer.execute("lock table service.agent_runs in exclusive mode")
        async with asyncio.timeout(60):
            found = await check(database_urls.migrator)
    assert found == []
    assert snapshot(database_urls.admin) == before


def snapshot(url: str) -> list[tuple[object, ...]]:
    query = """
    select oid, relname::text, relnamespace::regnamespace::text from pg_class where oid >= 16384
    union all
    select oid, proname::text, pronamespace::regnamespace::text from pg_proc where oid >= 16384
    order by 1
    """
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


async def test_migrations_that_do_not_apply_are_an_error_not_a_difference(database_urls, tmp_path: Path):
    (tmp_path / "20260101000000_bad").mkdir()
    (tmp_path / "20260101000000_bad" / "migration.sql").write_text(
        "create schema service;\ncreate table service.x (\nid nothing)"
    )

    with pytest.raises(MigrationFailed, match='line 3: type "nothing" does not exist'):
        await check(database_urls.migrator, folder=tmp_path)


async def test_a_check_waits_for_a_migration_only_so_long(database_urls):
    url = database_urls.migrator
    async with migrate.owner_connection(url) as rival, migrate.migration_lock(rival):
        with pytest.raises(MigrationLocked):
            await check(url, lock_timeout=0.01)


async def test_what_the_owner_may_not_do_is_an_error_of_ours(database_urls):
    with pytest.raises(AccessDenied):
        async with migrate.owner_connection(database_urls.migrator) as connection:
            await connection.execute("create role more")


async def test_only_the_migrator_may_check(database_urls):
    with pytest.raises(UnsafeRole):
        await check(database_urls.app)
    with pytest.raises(DatabaseUnavailable):
        await check("postgresql://sba_migrator@127.0.0.1:9/none")


def test_the_command_line_lists_each_difference_and_fails(database_urls):
    run = CliRunner().invoke
    same = run(main, ["check", "--url", database_urls.migrator])
    plant(database_urls.admin, f"{RUNS} add note text, drop constraint agent_runs_prompt_size")
    other = run(main, ["check", "--url", database_urls.migrator])
    partly = run(main, ["check", "--read-only", "--url", database_urls.migrator])

    assert (same.exit_code, same.output) == (0, "as schema.prisma and the migrations say\n")
    assert (other.exit_code, partly.exit_code) == (1, 1)
    assert other.output.splitlines()[0] == "agent_runs.note: column is not in schema.prisma"
    assert other.output.splitlines()[-1] == "2 differences"
    assert partly.output.splitlines()[-1] == "1 difference"


def test_the_command_line_says_what_a_migration_would_do(blank_database):
    run = CliRunner().invoke
    environment = {"SBA_MIGRATION_DATABASE_URL": blank_database.migrator}
    before = run(main, ["migrate", "--dry-run"], env=environment)
    status = run(main, ["status"], env=environment)
    run(main, ["migrate"], env=environment)
    after = run(main, ["migrate", "--dry-run"], env=environment)

    assert "would apply 20261101000000_init: " in before.output
    assert "in one transaction" in before.output
    assert status.exit_code == 1
    assert (before.exit_code, after.exit_code, after.output) == (0, 0, "nothing to apply\n")


def test_a_table_of_tenants_is_led_by_the_tenant():
    assert "system_health" in {table.name for table in TABLES if not table.of_tenants}
    assert all(table.column_names[0] == TENANT for table in TABLES if table.of_tenants)
