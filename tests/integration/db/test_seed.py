"""Development data is the same everywhere, is added once, and gets into no other database."""

from __future__ import annotations

import ipaddress
import uuid

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from sba_db import (
    DatabaseSettings,
    MigrationError,
    NotForDevelopment,
    RunStatus,
    agent_runs,
    agent_steps,
    audit_logs,
    migrate,
    open_database,
    run_events,
    system_health,
    tool_calls,
    usage_metrics,
)
from sba_db.check import check
from sba_db.cli import main
from sba_db.seed import RESIDENTS, guard, seed
from sba_db.verify_audit import verify_audit
from sba_local import residents
from tests.fixtures.databases import Tenant
from tests.integration.db.conftest import new_run
from tests.integration.db.months import TABLES, content, query

TENANTS = [one.tenant_id for one in RESIDENTS]
SEAL = "select service.seal_audit(null, 1000, 1000)"
AUDIT = """
insert into service.audit_logs (tenant_id, id, action, resource_type, resource_id)
values (gen_random_uuid(), gen_random_uuid(), 'a', 'b', 'c')
"""


def declare(urls, environment):
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        name, value = sql.Identifier(urls.name), sql.Literal(environment)
        connection.execute(sql.SQL("alter database {} set sba.environment = {}").format(name, value))


@pytest.fixture
async def blank(blank_database):
    await migrate.migrate(blank_database.migrator)
    return blank_database


async def test_both_tenants_get_what_the_services_show(blank):
    added = await seed(blank.migrator)

    assert added.keys() == {*TABLES, "system_health"}
    async with open_database(DatabaseSettings(url=blank.app)) as database:
        for tenant in TENANTS:
            reader = database.reader(tenant)
            runs = (await agent_runs.list_runs(reader)).items
            assert [run.status for run in runs] == ["cancelled", "failed", "succeeded", "succeeded"]
            assert len((await audit_logs.list_audit(reader)).items) == 8
            used = await usage_metrics.total_usage(reader)
            assert (used["runs_succeeded"], used["runs_failed"], used["tool_calls"]) == (2, 1, 3)
            for run in runs:
                await check_whole(reader, run)
        assert [one.component for one in await system_health.latest(database)] == ["api", "postgres", "redis"]
    assert await check(blank.migrator) == []


async def check_whole(reader, run):
    steps = await agent_steps.list_steps(reader, run.id)
    events = await run_events.read_events(reader, run.id)
    (call,) = await tool_calls.list_tool_calls(reader, run.id)
    assert [step.seq for step in steps] == list(range(1, run.step_seq + 1))
    assert [event.seq for event in events] == list(range(1, run.event_seq + 1))
    assert events[-1].type == f"run.{run.status}"
    assert run.created_at <= run.started_at < run.finished_at
    if run.status is RunStatus.CANCELLED:
        assert (call.status, call.step_id) == ("lost", None)
    else:
        assert (call.status, call.step_id) == (steps[1].status, steps[1].id)


async def test_nothing_that_is_seeded_waits_for_a_worker(blank):
    await seed(blank.migrator)

    assert query(blank.admin, "select 1 from service.agent_runs where finished_at is null") == []
    assert query(blank.admin, "select 1 from service.tool_calls where status = 'running'") == []
    assert query(blank.admin, "select 1 from service.idempotency_keys") == []


async def test_seeding_again_adds_what_is_missing_and_changes_nothing(blank):
    await seed(blank.migrator)
    before = content(blank.admin)
    assert await seed(blank.migrator) == {}
    query(blank.admin, "delete from service.agent_runs where tenant_id = %s", (TENANTS[0],))
    again = await seed(blank.migrator)

    assert again.keys() == {"agent_runs", "agent_steps", "run_events", "tool_calls"}
    assert content(blank.admin) == before


async def test_two_databases_are_seeded_alike(blank, database_urls):
    await seed(blank.migrator)
    await seed(database_urls.migrator)

    assert content(blank.admin) == content(database_urls.admin)


async def test_what_is_seeded_is_sealed_verifies_and_stays_so(blank):
    await seed(blank.migrator)
    query(blank.admin, SEAL)
    await seed(blank.migrator)
    query(blank.admin, SEAL)
    found = []
    done = await verify_audit(blank.migrator, found.append)

    assert (done.tenants, done.seals, done.waiting, found) == (2, 16, 0, [])


async def test_rows_lie_in_the_partitions_of_their_month(blank):
    await seed(blank.migrator)

    for table in TABLES[1:]:
        assert query(blank.admin, f"select 1 from service.{table}_default") == []
        assert query(blank.admin, f"select 1 from service.{table}_2026_11") != []


def test_the_tenants_are_those_of_a_development_stack():
    assert [(one.slug, one.user_name, one.tenant_id, one.user_id) for one in RESIDENTS] == [
        (one.slug, one.user_name, one.tenant_id, one.user_id) for one in (residents.ACME, residents.GLOBEX)
    ]


async def cancel_a_run(urls):
    elsewhere = Tenant(uuid.uuid4(), uuid.uuid4(), "elsewhere")
    async with open_database(DatabaseSettings(url=urls.app)) as database:
        run = await new_run(database, elsewhere)
        async with database.tenant(elsewhere.id) as session:
            await agent_runs.cancel_run(session, run_id=run.id)


@pytest.mark.parametrize("trace", ["a run that finished", "an audit row", "a seal"])
async def test_a_database_with_rows_of_another_tenant_is_refused_unless_forced(blank, trace):
    if trace == "a run that finished":
        await cancel_a_run(blank)
    else:
        query(blank.admin, AUDIT)
    if trace == "a seal":
        query(blank.admin, SEAL)
        query(blank.admin, "delete from service.audit_logs")
    before = content(blank.admin)
    with pytest.raises(NotForDevelopment, match=r"rows of other tenants.*--force") as refused:
        await seed(blank.migrator)

    assert (refused.value.reasons, refused.value.final) == (("it has rows of other tenants",), False)
    assert content(blank.admin) == before
    assert await seed(blank.migrator, force=True) != {}


async def test_a_server_elsewhere_is_refused_unless_forced(blank, monkeypatch):
    monkeypatch.setattr(guard, "is_local", lambda address: not ipaddress.ip_address(address).is_loopback)
    with pytest.raises(NotForDevelopment, match="not on this machine"):
        await seed(blank.migrator)

    assert await seed(blank.migrator, force=True) != {}


@pytest.mark.parametrize(
    ("address", "local"),
    [("", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("10.0.0.5", False),
     ("192.168.1.2", False), ("203.0.113.9", False), ("fe80::1%eth0", False)],
)  # fmt: skip
def test_a_server_is_local_by_its_address(address, local):
    assert guard.is_local(address) is local


async def test_a_database_that_says_it_is_for_something_else_is_never_seeded(blank):
    declare(blank, "production")
    for force in (False, True):
        with pytest.raises(NotForDevelopment, match=r"'production'$") as refused:
            await seed(blank.migrator, force=force)
        assert refused.value.final

    assert not any(content(blank.admin).values())


async def test_a_database_that_says_it_is_for_development_is_seeded_whatever_it_has(blank, monkeypatch):
    monkeypatch.setattr(guard, "is_local", lambda address: False)
    query(blank.admin, AUDIT)
    declare(blank, "development")

    assert await seed(blank.migrator) != {}


async def test_a_database_that_is_not_migrated_is_told_so(blank_database):
    with pytest.raises(MigrationError, match="run `sba-db migrate` first"):
        await seed(blank_database.migrator)


def test_the_command_says_what_it_added_and_who_they_are(database_urls):
    environment = {"SBA_MIGRATION_DATABASE_URL": database_urls.migrator}
    first = CliRunner().invoke(main, ["seed"], env=environment)
    second = CliRunner().invoke(main, ["seed"], env=environment)
    query(database_urls.admin, AUDIT)
    third = CliRunner().invoke(main, ["seed"], env=environment)
    forced = CliRunner().invoke(main, ["seed", "--force"], env=environment)

    assert [one.exit_code for one in (first, second, third, forced)] == [0, 0, 1, 0]
    assert "agent_runs: 8 rows added" in first.output
    assert f"acme: tenant {TENANTS[0]}, user ada {RESIDENTS[0].user_id}" in first.output
    assert "nothing to add" in second.output
    assert "not a database for development" in third.output
