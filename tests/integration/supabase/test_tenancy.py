"""Membership decides who sees which tenant, in the database itself."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from psycopg import errors

from sba_supabase.tenant import ENTER_TENANT, IS_MEMBER, MEMBERSHIP_REQUIRED
from tests.integration.supabase.conftest import column

TENANTS = "select id from public.tenants"
MEMBERS = "select tenant_id from public.memberships"
CURRENT = "select app.current_tenant()"
REVOKE = "update public.memberships set revoked_at = now() where user_id = %s"


async def enter(connection, tenant, member):
    await connection.execute(ENTER_TENANT, {"tenant": tenant, "member": member})


async def test_a_live_member_enters_and_sees_that_tenant_alone(app, tenants):
    ours, _ = tenants
    async with app.transaction():
        await enter(app, ours.id, ours.user)
        assert await column(app, CURRENT) == [ours.id]
        assert await column(app, TENANTS) == [ours.id]
        assert await column(app, MEMBERS) == [ours.id]
        assert await column(app, "select current_setting('app.user_id')") == [str(ours.user)]


@pytest.mark.parametrize("who", ["another tenant's member", "nobody", "null"])
async def test_only_a_live_member_enters(who: str, app, tenants):
    ours, theirs = tenants
    member = {"another tenant's member": theirs.user, "nobody": uuid.uuid4(), "null": None}[who]
    with pytest.raises(psycopg.Error) as refused:
        async with app.transaction():
            await enter(app, ours.id, member)
    assert refused.value.sqlstate == MEMBERSHIP_REQUIRED
    assert str(ours.id) not in str(refused.value)
    assert await column(app, CURRENT) == [None]


async def test_a_tenant_that_does_not_exist_answers_as_a_foreign_one_does(app, tenants):
    ours, theirs = tenants
    said = []
    for tenant in (uuid.uuid4(), theirs.id, None):
        with pytest.raises(psycopg.Error) as refused:
            await enter(app, tenant, ours.user)
        said.append((refused.value.sqlstate, refused.value.diag.message_primary))
    assert len(set(said)) == 1


async def test_a_revoked_member_is_out_with_the_next_statement(app, admin, tenants):
    ours, _ = tenants
    asked = {"tenant": ours.id, "member": ours.user}
    await enter(app, ours.id, ours.user)
    assert await column(app, IS_MEMBER, asked) == [True]
    await admin.execute(REVOKE, [ours.user])
    assert await column(app, IS_MEMBER, asked) == [False]
    with pytest.raises(psycopg.Error) as refused:
        await enter(app, ours.id, ours.user)
    assert refused.value.sqlstate == MEMBERSHIP_REQUIRED


async def test_a_tenant_does_not_outlive_its_transaction(app, tenants):
    ours, theirs = tenants
    assert await column(app, CURRENT) == [None]
    for tenant in (ours, theirs, ours):
        async with app.transaction():
            await enter(app, tenant.id, tenant.user)
            assert await column(app, TENANTS) == [tenant.id]
        assert await column(app, "select current_setting('app.tenant_id', true)") == [""]
        assert await column(app, CURRENT) == [None]
        assert await column(app, TENANTS) == []
        assert await column(app, MEMBERS) == []


async def test_a_rolled_back_tenant_is_gone_too(app, tenants):
    ours, _ = tenants
    async with app.transaction(force_rollback=True):
        await enter(app, ours.id, ours.user)
    assert await column(app, TENANTS) == []


async def test_a_pipeline_carries_the_tenant_to_its_statement_and_no_further(app, tenants):
    ours, _ = tenants
    async with app.pipeline():
        entered = app.cursor()
        await entered.execute(ENTER_TENANT, {"tenant": ours.id, "member": ours.user})
        seen = app.cursor()
        await seen.execute(TENANTS)
    assert await seen.fetchall() == [(ours.id,)]
    assert await column(app, TENANTS) == []


WRITES = [
    "insert into public.tenants (id, slug, name) values (gen_random_uuid(), 'x', 'X')",
    "update public.tenants set name = 'X'",
    "delete from public.tenants",
    "truncate public.tenants cascade",
    "insert into public.memberships (tenant_id, user_id) values (gen_random_uuid(), gen_random_uuid())",
    "update public.memberships set role = 'owner'",
    "delete from public.memberships",
    "create table public.mine (tenant_id uuid references public.tenants (id))",
    "create function app.current_tenant(x int) returns uuid language sql as 'select null::uuid'",
    "alter table public.memberships disable row level security",
]


@pytest.mark.parametrize("statement", WRITES)
async def test_a_service_cannot_write_who_belongs_where(statement: str, app, tenants):
    ours, _ = tenants
    async with app.transaction(force_rollback=True):
        await enter(app, ours.id, ours.user)
        with pytest.raises(errors.InsufficientPrivilege):
            await app.execute(statement)


@pytest.mark.parametrize("statement", WRITES)
async def test_a_user_cannot_write_who_belongs_where(statement: str, request_as, tenants):
    ours, _ = tenants
    with pytest.raises(errors.InsufficientPrivilege):
        async with request_as(ours.user, claim=ours.id) as request:
            await request.execute(statement)


async def test_a_user_sees_the_tenant_of_their_claim(request_as, tenants):
    ours, _ = tenants
    async with request_as(ours.user, claim=ours.id) as request:
        assert await column(request, CURRENT) == [ours.id]
        assert await column(request, TENANTS) == [ours.id]
        assert await column(request, MEMBERS) == [ours.id]


async def test_the_header_picks_among_the_users_own_tenants(request_as, admin, tenants):
    ours, theirs = tenants
    await admin.execute(
        "insert into public.memberships (tenant_id, user_id, role) values (%s, %s, 'viewer')",
        [theirs.id, ours.user],
    )
    async with request_as(ours.user, claim=ours.id, header=theirs.id) as request:
        assert await column(request, TENANTS) == [theirs.id]
    async with request_as(ours.user, header=ours.id) as request:
        assert await column(request, TENANTS) == [ours.id]


@pytest.mark.parametrize("way", ["header", "claim", "header over claim", "setting", "nothing"])
async def test_a_user_never_sees_a_tenant_they_are_no_member_of(way: str, request_as, tenants):
    ours, theirs = tenants
    asked = {
        "header": {"header": theirs.id},
        "claim": {"claim": theirs.id},
        "header over claim": {"header": theirs.id, "claim": ours.id},
        "setting": {"settings": {"app.tenant_id": str(theirs.id), "app.user_id": str(theirs.user)}},
        "nothing": {},
    }[way]
    async with request_as(ours.user, **asked) as request:
        assert await column(request, CURRENT) == [None]
        assert await column(request, TENANTS) == []
        assert await column(request, MEMBERS) == []


async def test_a_revoked_user_sees_nothing_though_their_token_lives(request_as, admin, tenants):
    ours, _ = tenants
    await admin.execute(REVOKE, [ours.user])
    async with request_as(ours.user, claim=ours.id, header=ours.id) as request:
        assert await column(request, TENANTS) == []


async def test_a_request_without_a_user_sees_nothing(request_as, tenants):
    ours, _ = tenants
    async with request_as(None, claim=ours.id, header=ours.id) as request:
        assert await column(request, TENANTS) == []
    async with request_as(settings={"request.jwt.claims": "", "request.headers": ""}) as request:
        assert await column(request, TENANTS) == []


@pytest.mark.parametrize("header", ["*", "' or true --", "00000000"])
async def test_a_header_that_is_no_id_is_an_error_and_not_a_tenant(header: str, request_as, tenants):
    ours, _ = tenants
    with pytest.raises(errors.InvalidTextRepresentation):
        async with request_as(ours.user, claim=ours.id, header=header) as request:
            await request.execute(TENANTS)


@pytest.mark.parametrize("statement", [TENANTS, MEMBERS, CURRENT, "select app.request_tenant()"])
async def test_a_stranger_may_not_even_ask(statement: str, request_as, tenants):
    with pytest.raises(errors.InsufficientPrivilege):
        async with request_as(role="anon", header=tenants[0].id) as request:
            await request.execute(statement)


@pytest.mark.parametrize(
    "call",
    [
        "select app.is_member(%(tenant)s, %(user)s)",
        "select app.enter_tenant(%(tenant)s, %(user)s)",
    ],
)
@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_only_a_service_asks_about_other_people(role: str, call: str, request_as, tenants):
    ours, theirs = tenants
    with pytest.raises(errors.InsufficientPrivilege):
        async with request_as(ours.user, role=role, claim=ours.id) as request:
            await request.execute(call, {"tenant": theirs.id, "user": theirs.user})


async def test_the_platforms_service_role_provisions(request_as, tenants):
    async with request_as(role="service_role") as request:
        assert len(await column(request, TENANTS)) == 2
        await request.execute("insert into public.tenants (slug, name) values ('initech', 'Initech')")
        await request.execute("update public.memberships set revoked_at = now()")


async def test_the_owner_is_bound_by_the_policies_too(admin, tenants):
    async with admin.transaction(force_rollback=True):
        await admin.execute("set local role sba_owner")
        assert await column(admin, TENANTS) == []
        cursor = await admin.execute("update public.memberships set role = 'owner'")
        assert cursor.rowcount == 0


async def test_functions_that_act_as_their_owner_cannot_be_led_astray(admin):
    query = """
        select p.proname, p.prosecdef, coalesce(p.proconfig, '{}'), p.proowner::regrole::text,
               has_function_privilege('anon', p.oid, 'execute')
        from pg_proc p where p.pronamespace = 'app'::regnamespace
    """
    cursor = await admin.execute(query)
    functions = {row[0]: row[1:] for row in await cursor.fetchall()}
    pinned = ["search_path=pg_catalog, pg_temp"]
    for name in ("enter_tenant", "is_member", "request_tenant"):
        assert functions[name] == (True, pinned, "sba_owner", False)
    assert functions["current_tenant"] == (False, [], "sba_owner", False)


async def test_a_shadowing_table_does_not_make_a_member(app, tenants):
    ours, theirs = tenants
    async with app.transaction(force_rollback=True):
        await app.execute(
            "create temp table memberships (tenant_id uuid, user_id uuid, revoked_at timestamptz)"
        )
        await app.execute("insert into pg_temp.memberships values (%s, %s, null)", [theirs.id, ours.user])
        await app.execute("set local search_path = pg_temp, public")
        assert await column(app, IS_MEMBER, {"tenant": theirs.id, "member": ours.user}) == [False]


@pytest.mark.parametrize("slug", ["", "-acme", "acme-", "Acme", "a cme", "a" * 64, "acme\n"])
async def test_a_slug_fits_a_host_name(slug: str, admin, tenants):
    with pytest.raises(errors.CheckViolation):
        await admin.execute("insert into public.tenants (slug, name) values (%s, 'X')", [slug])


async def test_slugs_are_unique_and_roles_are_known(admin, tenants):
    with pytest.raises(errors.UniqueViolation):
        await admin.execute("insert into public.tenants (slug, name) values (%s, 'X')", [tenants[0].slug])
    with pytest.raises(errors.CheckViolation):
        await admin.execute("update public.memberships set role = 'root'")


async def test_a_deleted_tenant_takes_its_memberships_along(admin, tenants):
    await admin.execute("delete from public.tenants where id = %s", [tenants[0].id])
    assert await column(admin, MEMBERS) == [tenants[1].id]


async def test_the_tenant_is_worked_out_once_a_statement(app, admin, tenants):
    """As an InitPlan, not once a row."""
    ours, _ = tenants
    async with app.transaction():
        await enter(app, ours.id, ours.user)
        plan = "\n".join(await column(app, "explain (verbose) select * from public.memberships"))
    assert "InitPlan" in plan
