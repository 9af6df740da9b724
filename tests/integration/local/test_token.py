"""`sba-local token` against a real, prepared database, judged by the verifier that the services use."""

import asyncio
import os
import uuid

import httpx
import jwt
import psycopg
import pytest
from click.testing import CliRunner

from sba_local.cli import main
from sba_local.errors import StackError, UnknownName
from sba_local.layout import read_environment
from sba_local.residents import ACME, GLOBEX, admit, look_up, user_id
from sba_local.stack import Plan, Stack
from sba_supabase.auth.keys import KeySet
from sba_supabase.auth.tokens import TokenVerifier
from sba_supabase.errors import TokenExpired
from sba_supabase.settings import AuthSettings

MEMBERSHIPS = """
select t.slug, m.role from public.memberships m join public.tenants t on t.id = m.tenant_id
where m.user_id = %s order by 1
"""


@pytest.fixture
async def stack(place):
    """A stack without services."""
    plan = Plan(
        inherited=dict(os.environ),
        listener=print,
        data_dir=place / "data",
        services=lambda _environment: [],
    )
    async with Stack(plan) as stack:
        yield stack


@pytest.fixture
def admin_url(stack):
    return (stack.data_dir / "admin-url").read_text()


@pytest.fixture
def token(stack):
    def run(*arguments, env=None):
        result = CliRunner().invoke(main, ["token", "--data-dir", str(stack.data_dir), *arguments], env=env)
        assert result.exit_code == 0, result.output
        return result.stdout.strip(), result.stderr

    return lambda *arguments: in_thread(run, *arguments)


async def in_thread(run, *arguments):
    """The command runs an event loop of its own."""
    return await asyncio.to_thread(run, *arguments)


async def memberships(admin_url, user):
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        return await (await connection.execute(MEMBERSHIPS, (user_id(user),))).fetchall()


async def verify(stack, token):
    settings = AuthSettings(issuer=f"{stack.environment['SUPABASE_URL']}/auth/v1")
    async with httpx.AsyncClient() as http:
        return await TokenVerifier(settings, keys=KeySet(settings.jwks_url, http=http)).verify(token)


def role_in(token):
    return jwt.decode(token, options={"verify_signature": False})["app_metadata"]["role"]


async def test_the_services_verifier_accepts_it(stack, token):
    printed, warning = await token("--tenant", "acme", "--user", "ada")
    principal = await verify(stack, printed)
    assert (principal.tenant_id, principal.user_id) == (ACME.tenant_id, ACME.user_id)
    assert warning == ""
    assert role_in(printed) == "owner"


async def test_the_services_verifier_refuses_it_once_expired(stack, token):
    printed, _ = await token("--tenant", "acme", "--user", "ada", "--ttl", "-60")
    with pytest.raises(TokenExpired):
        await verify(stack, printed)


async def test_an_unknown_tenant_is_made_with_its_user(admin_url, token):
    printed, warning = await token("--tenant", "initech", "--user", "peter", "--role", "admin")
    assert await memberships(admin_url, "peter") == [("initech", "admin")]
    assert warning == ""
    assert role_in(printed) == "admin"


async def test_an_unknown_tenant_may_be_named_by_id(stack, admin_url, token):
    tenant, user = str(uuid.uuid4()), str(uuid.uuid4())
    printed, _ = await token("--tenant", tenant, "--user", user)
    principal = await verify(stack, printed)
    assert (str(principal.tenant_id), str(principal.user_id)) == (tenant, user)
    assert await memberships(admin_url, user) == [(f"tenant-{tenant}", "member")]


async def test_a_user_who_belongs_nowhere_is_added(admin_url, token):
    for _ in range(2):
        _, warning = await token("--tenant", "acme", "--user", "newcomer")
        assert warning == ""
    assert await memberships(admin_url, "newcomer") == [("acme", "member")]


async def test_a_user_of_another_tenant_is_not_added_and_that_is_said(admin_url, token):
    printed, warning = await token("--tenant", "globex", "--user", "ada")
    assert warning.startswith("warning: ada is not a member of globex and was not added")
    assert "refuse this token with 403" in warning
    assert await memberships(admin_url, "ada") == [("acme", "owner")]
    assert printed.count(".") == 2


async def test_a_revoked_membership_is_not_given_back(admin_url, token):
    await token("--tenant", "acme", "--user", "gone")
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        revoke = "update public.memberships set revoked_at = now() where user_id = %s"
        await connection.execute(revoke, (user_id("gone"),))
    _, warning = await token("--tenant", "acme", "--user", "gone")
    assert "was not added" in warning


async def test_without_provisioning_nothing_changes(admin_url, token):
    printed, warning = await token("--tenant", "nowhere", "--user", "stranger", "--no-provision")
    assert await memberships(admin_url, "stranger") == []
    assert warning == ""
    assert role_in(printed) == "member"


async def test_without_provisioning_the_role_held_is_the_role_named(token):
    printed, _ = await token("--tenant", str(GLOBEX.tenant_id), "--user", "gita", "--no-provision")
    assert role_in(printed) == "owner"


async def test_many_at_once_let_a_user_in_once(admin_url):
    admissions = [admit(admin_url, tenant=f"tenant{n}", user="racer") for n in range(8)]
    results = await asyncio.gather(*admissions)
    assert len(await memberships(admin_url, "racer")) == len({r.tenant_id for r in results if r.role})


async def test_an_unknown_role_is_refused(admin_url):
    with pytest.raises(UnknownName, match="owner, admin, member, viewer"):
        await admit(admin_url, tenant="acme", user="ada", role="king")


async def test_a_name_that_cannot_be_one_ends_with_a_message(stack):
    arguments = ["token", "--data-dir", str(stack.data_dir), "--tenant", "No Slug", "--user", "ada"]
    result = await in_thread(CliRunner().invoke, main, arguments)
    assert result.exit_code == 1
    assert "is neither an id nor a slug" in result.stderr
    assert result.stdout == ""


async def test_a_stopped_stack_still_signs_but_cannot_let_anyone_in(place):
    plan = Plan(inherited={}, listener=print, data_dir=place / "data", services=lambda _environment: [])
    async with Stack(plan):
        pass
    arguments = ["token", "--tenant", "acme", "--user", "ada"]
    environment = {"SBA_LOCAL_DATA_DIR": str(place / "data")}
    refused = await in_thread(lambda: CliRunner().invoke(main, arguments, env=environment))
    assert refused.exit_code == 1
    assert "is `sba-local up` running?" in refused.stderr
    signed = await in_thread(
        lambda: CliRunner().invoke(main, [*arguments, "--no-provision"], env=environment)
    )
    assert signed.exit_code == 0
    claims = jwt.decode(signed.stdout.strip(), options={"verify_signature": False})
    assert claims["iss"].startswith(read_environment(place / "data")["SUPABASE_URL"])
    with pytest.raises(StackError):
        await look_up((place / "data" / "admin-url").read_text(), tenant="acme", user="ada")
