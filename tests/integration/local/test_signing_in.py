"""The first users of a stack sign in with their password, and its signing keys can be changed."""

import asyncio
import os

import httpx
import pytest
from click.testing import CliRunner
from supabase import AsyncClientOptions, acreate_client

from sba_local.cli import main
from sba_local.residents import ACME, GLOBEX
from sba_local.stack import Plan, Stack


def plan(place):
    return Plan(
        inherited=dict(os.environ),
        listener=print,
        data_dir=place / "data",
        services=lambda _environment: [],
    )


@pytest.fixture
async def http():
    async with httpx.AsyncClient() as client:
        yield client


async def sign_in(environment, letter, http):
    options = AsyncClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=http)
    client = await acreate_client(environment["SUPABASE_URL"], environment["SUPABASE_ANON_KEY"], options)
    who = {"email": environment[f"SBA_EMAIL_{letter}"], "password": environment["SBA_USER_PASSWORD"]}
    return client, (await client.auth.sign_in_with_password(who)).session


async def keys(stack, *arguments):
    """What the command says, and its status."""
    command = ["keys", "--data-dir", str(stack.data_dir), *arguments]
    result = await asyncio.to_thread(CliRunner().invoke, main, command)
    if result.exit_code:
        return result.exit_code, result.stderr
    return 0, dict(line.split() for line in result.stdout.splitlines())


async def test_the_first_users_sign_in_and_see_their_tenant_on_every_start(place, http):
    ids = set()
    for _ in range(2):
        async with Stack(plan(place)) as stack:
            for letter, resident in (("A", ACME), ("B", GLOBEX)):
                client, session = await sign_in(stack.environment, letter, http)
                assert session.user.id == str(resident.user_id)
                assert session.user.app_metadata["tenant_id"] == str(resident.tenant_id)
                client.options.headers["x-tenant-id"] = str(resident.tenant_id)
                rows = await client.table("tenants").select("id").execute()
                assert rows.data == [{"id": str(resident.tenant_id)}]
                ids.add(session.user.id)
    assert len(ids) == 2


async def test_the_signing_key_is_changed_step_by_step_from_the_command_line(place, http):
    async with Stack(plan(place)) as stack:
        first = stack.issuer.kid
        assert await keys(stack) == (0, {first: "in_use"})
        status, complaint = await keys(stack, "rotate")
        assert (status, "announce the next key first" in complaint) == (1, True)
        _, announced = await keys(stack, "announce")
        (second,) = [kid for kid, status in announced.items() if status == "standby"]
        assert announced == {first: "in_use", second: "standby"}
        assert await keys(stack, "rotate") == (0, {second: "in_use", first: "previously_used"})
        await sign_in(stack.environment, "A", http)
        assert await keys(stack, "retire") == (0, {second: "in_use"})
    status, complaint = await keys(stack)
    assert (status, "does not answer" in complaint) == (1, True)


async def test_another_program_on_the_stand_ins_port_is_told_apart(place):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        (place / "env").write_text(f"SUPABASE_URL=http://127.0.0.1:{port}\nSUPABASE_SERVICE_ROLE_KEY=k\n")
        command = ["keys", "--data-dir", str(place)]
        result = await asyncio.to_thread(CliRunner().invoke, main, command)
    assert (result.exit_code, "something else does" in result.stderr) == (1, True)


@pytest.mark.parametrize("arguments", [["elsewhere"], ["announce", "rotate"]])
def test_no_other_step_is_taken(arguments):
    assert CliRunner().invoke(main, ["keys", *arguments]).exit_code == 2
