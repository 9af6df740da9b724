"""The README's examples do what it says, against the stand-in."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sba_supabase import ServerSettings, create_admin_client, load_settings
from sba_supabase.auth.cookies import CookieJar, CookieOptions, cookie_name
from tests.integration.local.gateway.standing import ANON, SECRET
from tests.integration.supabase.calls.conftest import Settings

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
README = (Path(__file__).parents[4] / "packages/supabase/README.md").read_text("utf-8")
VERIFY, SERVER, PROGRAMS, TABLES, CALLS = BLOCK.findall(README)
SEARCH = """
create function public.search(query text) returns table (id text, score float) language sql stable as
    $$ select query, 0.5 $$;
grant execute on function public.search(text) to authenticated;
"""


def run(code: str) -> dict[str, Any]:
    """What an example defines."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - an example is there to be run
    return names


@pytest.fixture
def environment(project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SUPABASE_URL", project.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", SECRET)
    monkeypatch.setenv("NEXT_PUBLIC_SUPABASE_URL", project.url)
    monkeypatch.setenv("NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY", ANON)


async def test_any_text_is_no_token():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", VERIFY),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(b"any text\n")
    assert out == b"token: 401 token_malformed\n"


async def test_a_server_reads_what_its_caller_may(project, pool):
    tenant, token = await project.member()
    session = {"access_token": token, "refresh_token": "r", "expires_at": 4_000_000_000}
    jar = CookieJar({}, CookieOptions())
    jar.write(cookie_name(project.url), json.dumps(session))
    cookies = {cookie.name: cookie.value for cookie in jar.changes()}
    settings = Settings(project.url, SecretStr(ANON))
    rows, headers = await run(SERVER)["documents"](settings, pool, cookies, tenant)
    assert (rows, headers) == ([], [])


async def test_a_program_signs_in_and_the_platform_provisions(project, environment):
    names = run(PROGRAMS)
    account = {"email": "ana@example.com", "password": "a long password"}
    await project.http.post(f"{project.url}/auth/v1/signup", json=account, headers=project.headers())
    await names["sign_in"](account["email"], account["password"])
    await names["provision"]("acme")
    assert await project.run("select name from public.tenants where slug = 'acme'") == [("Acme",)]


async def test_members_are_invited_and_documents_listed(project, pool, enter, environment):
    names = run(TABLES)
    mine = await enter()
    admin = await create_admin_client(load_settings(ServerSettings), pool=pool, service="signup")
    (member,) = await names["invite"](admin, mine.tenant_id, uuid.uuid4())
    assert member.role == "viewer"
    assert await names["newest"](mine, mine.tenant_id) == []


async def test_functions_are_called_and_files_kept(project, enter):
    await project.run(SEARCH)

    async def summarise(call):
        return json.dumps(call.json()["id"])

    project.functions["summarise"] = summarise
    found, url, summary = await run(CALLS)["handle"](await enter(), "7")
    assert [(match.id, match.score) for match in found] == [("beans", 0.5)]
    assert (await project.http.get(url)).content == b"hello"
    assert summary == "7"
