"""Rules that every tenant table, policy, key, grant and function of schema service obeys."""

from __future__ import annotations

import pytest

POLICY = "(tenant_id = ( SELECT service.current_tenant() AS current_tenant))"
TENANT_FREE = {"system_health", "_prisma_migrations"}
SEALED_BY = {"audit_logs", "audit_pending", "audit_seals", "audit_checkpoints"}
APPEND_ONLY = {
    "audit_logs",
    "audit_seals",
    "audit_checkpoints",
    "run_events",
    "agent_steps",
    "tool_calls",
    "system_health",
}
HOW_IT_ENDED = {"status", "step_id", "result", "error", "duration_ms", "finished_at"}

TABLES = """
select c.relname as name, c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
       pg_get_userbyid(c.relowner) as owner,
       exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id') as has_tenant
from pg_class c where c.relnamespace = 'service'::regnamespace and c.relkind in ('r', 'p')
"""
POLICIES = """
select tablename, policyname, permissive, roles, cmd, qual, with_check
from pg_policies where schemaname = 'service'
"""
KEYS = """
select c.conrelid::regclass::text as table, c.conname as name, c.contype as kind,
       a.attname as first, r.attname as refers_first
from pg_constraint c
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
left join pg_attribute r on r.attrelid = c.confrelid and r.attnum = c.confkey[1]
where c.connamespace = 'service'::regnamespace and c.contype in ('p', 'u', 'f')
"""
INDEXES = """
select i.indrelid::regclass::text as table, i.indexrelid::regclass::text as name, i.indisunique as unique,
       a.attname as first
from pg_index i
join pg_class c on c.oid = i.indrelid
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
where c.relnamespace = 'service'::regnamespace
"""
GRANTS = """
select table_name as name, grantee, privilege_type as privilege
from information_schema.role_table_grants where table_schema = 'service' and grantee <> 'sba_owner'
"""
COLUMN_GRANTS = """
select c.relname || '.' || a.attname as name, g.privilege_type as privilege
from pg_attribute a join pg_class c on c.oid = a.attrelid, aclexplode(a.attacl) g
where c.relnamespace = 'service'::regnamespace and g.grantee = 'sba_app'::regrole
"""
FUNCTIONS = """
select p.oid::regprocedure::text as name, p.prosecdef as definer, coalesce(p.proconfig, '{}') as config,
       has_function_privilege('public', p.oid, 'execute') as open,
       pg_get_userbyid(p.proowner) as owner, r.rolsuper as owner_super
from pg_proc p join pg_roles r on r.oid = p.proowner
where p.pronamespace = 'service'::regnamespace
"""


@pytest.fixture
def tenant_tables(superuser) -> set[str]:
    return {row["name"] for row in superuser.execute(TABLES)} - TENANT_FREE


def test_every_table_has_a_tenant_but_the_ones_named_here(superuser):
    assert {row["name"] for row in superuser.execute(TABLES) if not row["has_tenant"]} == TENANT_FREE


def test_every_tenant_table_enables_and_forces_row_level_security(superuser, tenant_tables):
    loose = [
        row
        for row in superuser.execute(TABLES)
        if row["name"] in tenant_tables and not (row["enabled"] and row["forced"])
    ]

    assert loose == []


def test_every_tenant_table_has_exactly_the_tenant_policy_for_reads_and_writes(superuser, tenant_tables):
    found = list(superuser.execute(POLICIES))
    policies = {row["tablename"]: row for row in found if row["roles"] == ["public"]}

    assert policies.keys() == tenant_tables
    for policy in policies.values():
        assert (policy["qual"], policy["with_check"]) == (POLICY, POLICY)
        assert (policy["cmd"], policy["permissive"]) == ("ALL", "PERMISSIVE")
    assert {row["tablename"] for row in found if row["roles"] == ["sba_sealer"]} == SEALED_BY
    assert {role for row in found for role in row["roles"]} == {"public", "sba_sealer", "sba_owner"}


def test_nobody_but_the_owner_can_become_the_role_that_sees_the_audit_rows_of_all(superuser):
    members = superuser.execute(
        "select r.rolname as name, r.rolinherit as inherits from pg_roles r"
        " where pg_has_role(r.oid, 'sba_sealer', 'member') and not r.rolsuper"
    )
    able = {row["name"]: row["inherits"] for row in members}

    assert able == {"sba_sealer": True, "sba_owner": False, "sba_migrator": False}
    assert not superuser.execute(
        "select rolcanlogin as can from pg_roles where rolname = 'sba_sealer'"
    ).fetchone()["can"]


def test_every_key_and_reference_of_a_tenant_table_is_led_by_the_tenant(superuser):
    tenant_free = {f"service.{name}" for name in TENANT_FREE}
    for key in superuser.execute(KEYS):
        if key["table"] in tenant_free:
            continue
        assert key["first"] == "tenant_id", key
        assert key["kind"] != "f" or key["refers_first"] == "tenant_id", key


def test_every_index_of_a_tenant_table_is_led_by_the_tenant(superuser):
    tenant_free = {f"service.{name}" for name in TENANT_FREE}
    for index in superuser.execute(INDEXES):
        assert index["table"] in tenant_free or index["first"] == "tenant_id", index


def test_the_owner_of_every_table_is_the_role_that_nobody_can_log_in_as(superuser):
    assert {row["owner"] for row in superuser.execute(TABLES)} == {"sba_owner"}
    assert not superuser.execute("select rolcanlogin from pg_roles where rolname = 'sba_owner'").fetchone()[
        "rolcanlogin"
    ]


def test_only_the_application_is_granted_anything_and_never_truncate_references_trigger_or_delete(superuser):
    granted = list(superuser.execute(GRANTS))
    grants = [grant for grant in granted if grant["grantee"] != "sba_sealer"]

    assert {grant["name"] for grant in granted if grant["grantee"] == "sba_sealer"} == SEALED_BY
    assert {grant["grantee"] for grant in grants} == {"sba_app"}
    assert {grant["privilege"] for grant in grants} <= {"SELECT", "INSERT", "UPDATE"}


def test_history_can_be_written_and_read_but_not_changed(superuser):
    changeable = {grant["name"] for grant in superuser.execute(GRANTS) if grant["privilege"] == "UPDATE"}

    assert not changeable & APPEND_ONLY


def test_of_a_tool_call_only_how_it_ended_can_be_changed(superuser):
    granted = {(grant["name"], grant["privilege"]) for grant in superuser.execute(COLUMN_GRANTS)}

    assert granted == {(f"tool_calls.{column}", "UPDATE") for column in HOW_IT_ENDED}


def test_the_ledger_of_migrations_is_the_owners_alone(superuser):
    assert not [grant for grant in superuser.execute(GRANTS) if grant["name"] == "_prisma_migrations"]


def test_functions_are_closed_to_the_public_and_definers_pin_their_search_path(superuser):
    functions = list(superuser.execute(FUNCTIONS))

    assert functions
    for function in functions:
        assert not function["open"], function
        assert not function["definer"] or any(one.startswith("search_path=") for one in function["config"])
        assert not function["owner_super"], function


def test_no_view_of_the_schema_steps_around_row_level_security(superuser):
    views = superuser.execute(
        "select relname, coalesce(reloptions, '{}') as options, relkind from pg_class"
        " where relnamespace = 'service'::regnamespace and relkind in ('v', 'm')"
    )

    assert [
        view for view in views if view["relkind"] == "m" or "security_invoker=true" not in view["options"]
    ] == []
