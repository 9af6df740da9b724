"""The unmodified `@supabase/supabase-js` against the stand-in, over real HTTP, where Node.js has it."""

import asyncio
import json
import os
import shutil
import uuid
from pathlib import Path

import pytest

from sba_local.supabase.functions import Answer
from tests.contract.local.rest import answers
from tests.integration.local.gateway.standing import ANON, SECRET, standing
from tests.integration.local.rest.world import USER_A, token

HERE = Path(__file__).parent
NODE = os.environ.get("SBA_TEST_NODE") or shutil.which("node")
FAR = 4_000_000_000.0
MODULES = Path(os.environ.get("SBA_TEST_NODE_MODULES", HERE / "node_modules"))


if NODE is None or not (MODULES / "@supabase" / "supabase-js").is_dir():
    pytest.skip("no Node.js with @supabase/supabase-js here", allow_module_level=True)


@pytest.fixture
async def project(blank_database, tmp_path):
    """The whole stand-in before a migrated database."""
    place = tmp_path / "project"
    async with standing(blank_database.admin, blank_database.migrator, place) as project:
        yield project


@pytest.fixture
def say(tmp_path):
    """Runs one script beside the modules that it imports, and gives what it printed."""
    (tmp_path / "node_modules").symlink_to(MODULES.resolve(), target_is_directory=True)

    async def run(script, *arguments):
        for name in (script, "asking.mjs"):
            shutil.copy(HERE / name, tmp_path)
        process = await asyncio.create_subprocess_exec(
            NODE, tmp_path / script, *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, error = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, error.decode()
        return json.loads(out)

    return run


async def test_rest_is_answered_as_a_project_answers_it(url, say):
    said = await say("supabase_js.mjs", url, "sb_secret_test", "sb_publishable_test", token(USER_A))
    found = {name: (one["status"], one["code"] or one["data"]) for name, one in said.items()}
    assert found == answers.REST
    assert {name: one["count"] for name, one in said.items() if one["count"] is not None} == answers.COUNTS


async def test_auth_is_answered_as_a_project_answers_it(project, say):
    project.clock.now = FAR  # the client holds what ends against its own clock
    assert await say("supabase_js_auth.mjs", project.url, SECRET, ANON) == answers.AUTH


async def echo(call):
    content = call.json() if "json" in call.headers["content-type"] else call.body.decode()
    return {"type": call.headers["content-type"], "content": content}


async def kind(call):
    whole = call.headers.get("content-type", "").partition(";")[0]
    return [call.method, call.path, dict(call.query), whole, call.headers.get("x-more")]


async def greets(_call):
    return "hello"


async def sends_bytes(_call):
    return b"hi"


async def sends_nothing(_call):
    return Answer(status=204)


async def refuses(_call):
    return Answer(b'{"reason": "teapot"}', 418, {"Content-Type": "application/json"})


async def raises(_call):
    raise ValueError(SECRET)


async def who(call):
    return [call.role, call.claims.get("sub")]


async def hangs(_call):
    await asyncio.Event().wait()


HANDLERS = (echo, kind, greets, sends_bytes, sends_nothing, refuses, raises, who, hangs)


async def test_functions_are_answered_as_a_project_answers_them(project, say):
    project.functions.update({handler.__name__: handler for handler in HANDLERS})
    bearer = project.issuer.mint(user_id=uuid.UUID(USER_A), tenant_id=uuid.UUID(USER_A))
    assert await say("supabase_js_functions.mjs", project.url, SECRET, ANON, bearer) == answers.FUNCTIONS


async def test_storage_is_answered_as_a_project_answers_it(project, say):
    tenant, bearer = await project.member()
    other, _ = await project.member()
    said = await say("supabase_js_storage.mjs", project.url, SECRET, ANON, bearer, str(tenant), str(other))
    assert said == answers.STORAGE
