"""`sba-db check` also finds what changes no table: rules, switched-off triggers, powers, grants to come."""

from __future__ import annotations

import psycopg
import pytest

from sba_db.check import check

DEFAULT = "audit_logs_default"
HIDDEN = [
    (
        "create rule quiet as on insert to service.audit_logs do instead nothing",
        "audit_logs: rule quiet is not in the migrations:"
        " CREATE RULE quiet AS ON INSERT TO service.audit_logs DO INSTEAD NOTHING; O",
    ),
    (
        "alter table service.agent_runs disable trigger all",
        "agent_runs: reference run_events_tenant_id_run_id_fkey is not in the migrations: switched off",
    ),
    (
        "alter table service.idempotency_keys set unlogged",
        "idempotency_keys: persistence is unlogged, the migrations make logged",
    ),
    (
        "alter default privileges for role sba_owner in schema service grant delete on tables to sba_app",
        "schema service: default grant of sba_owner on r is not in the migrations: {sba_app=d/sba_owner}",
    ),
]
OF_PARTITIONS = [
    (
        f"grant select, delete on service.{DEFAULT} to sba_app, public",
        f"{DEFAULT}: partition is granted to public, sba_app",
    ),
    (
        f"alter table service.{DEFAULT} disable trigger note",
        f"{DEFAULT}: partition has switched off the trigger note",
    ),
    (
        "alter table service.run_events_default disable trigger all",
        "run_events_default: partition has switched off the reference run_events_tenant_id_run_id_fkey",
    ),
    (
        f"create trigger own before insert on service.{DEFAULT} for each row"
        " execute function suppress_redundant_updates_trigger()",
        f"{DEFAULT}: partition has the trigger own of its own",
    ),
    (
        f"create rule quiet as on insert to service.{DEFAULT} do instead nothing",
        f"{DEFAULT}: partition has the rule quiet of its own",
    ),
    (
        f"alter table service.{DEFAULT} add constraint never check (action <> '') not valid",
        f"{DEFAULT}: partition has the check never of its own",
    ),
    (
        "alter table service.usage_metrics_default set unlogged",
        "usage_metrics_default: partition is unlogged: a crash empties it",
    ),
    (
        "alter table service.usage_metrics_default owner to sba_migrator",
        "usage_metrics_default: partition is owned by sba_migrator",
    ),
]
OF_LOGINS = [
    (
        "alter table service.system_health owner to sba_app",
        "sba_app: owns a table of the schema, or the schema itself",
    ),
    (
        "create view public.every_run as select * from service.agent_runs",
        "public.every_run: view reads tables with its owner's rights",
    ),
    (
        "create materialized view public.every_run as select * from service.agent_runs",
        "public.every_run: view reads tables with its owner's rights",
    ),
]


def plant(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.mark.parametrize(("drift", "expected"), HIDDEN, ids=lambda one: str(one)[:60])
async def test_what_changes_no_table_is_named(database_urls, drift, expected):
    plant(database_urls.admin, drift)

    assert expected in map(str, await check(database_urls.migrator))


@pytest.mark.parametrize(("drift", "expected"), OF_PARTITIONS, ids=lambda one: str(one)[:60])
async def test_a_partition_that_goes_its_own_way_is_named(database_urls, drift, expected):
    plant(database_urls.admin, drift)

    assert expected in map(str, await check(database_urls.migrator, rehearse=False))


@pytest.mark.parametrize(("drift", "expected"), OF_LOGINS, ids=lambda one: str(one)[:60])
async def test_what_lets_a_login_see_more_is_named(database_urls, drift, expected):
    plant(database_urls.admin, drift)

    assert expected in map(str, await check(database_urls.migrator, rehearse=False))


async def test_a_view_with_its_callers_rights_is_no_difference(database_urls):
    plant(
        database_urls.admin,
        "create view public.every_run with (security_invoker = true) as select * from service.agent_runs;"
        " create view public.runs_too with (security_invoker) as select * from service.agent_runs",
    )

    assert await check(database_urls.migrator) == []
