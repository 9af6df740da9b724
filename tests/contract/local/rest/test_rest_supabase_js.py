"""The unmodified `@supabase/supabase-js` against the stand-in, over real HTTP, where Node.js has it."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.integration.local.rest.world import USER_A, token

SCRIPT = Path(__file__).with_name("supabase_js.mjs")
NODE = os.environ.get("SBA_TEST_NODE") or shutil.which("node")
MODULES = Path(os.environ.get("SBA_TEST_NODE_MODULES", SCRIPT.parent / "node_modules"))

if NODE is None or not (MODULES / "@supabase" / "supabase-js").is_dir():
    pytest.skip("no Node.js with @supabase/supabase-js here", allow_module_level=True)

ANSWERS = {
    "eq": (200, [{"id": 2}]),
    "in": (200, [{"id": 4}]),
    "or": (200, [{"id": 2}, {"id": 4}]),
    "contains": (200, [{"id": 1}, {"id": 2}]),
    "containsObject": (200, [{"id": 3}]),
    "notIsNull": (200, [{"id": 1}, {"id": 2}, {"id": 4}]),
    "likeAnyOf": (200, [{"id": 2}, {"id": 3}, {"id": 4}]),
    "textSearch": (200, [{"id": 3}]),
    "range": (206, [{"id": 2}, {"id": 3}]),
    "head": (200, None),
    "single": (200, {"id": 1}),
    "notSingle": (406, "PGRST116"),
    "maybeSingle": (200, None),
    "csv": (200, "id\n1"),
    "embed": (200, [{"last_name": "Dickson", "films": [{"id": 2}]}]),
    "insert": (201, [{"sku": "a"}, {"sku": "b"}]),
    "insertDefaults": (201, [{"baz": 100}, {"baz": 1}]),
    "upsert": (200, [{"price": 3}]),
    "upsertIgnored": (201, []),
    "update": (200, [{"price": 9}]),
    "delete": (200, [{"sku": "a"}]),
    "maxAffected": (400, "PGRST124"),
    "rpc": (200, 3),
    "rpcGet": (200, 3),
    "rpcRows": (200, [{"id": 3}, {"id": 4}]),
    "rpcFails": (400, "P0001"),
    "rollback": (201, [{"sku": "gone"}]),
    "afterRollback": (200, []),
    "security": (200, [{"body": "of a"}]),
    "denied": (403, "42501"),
}


@pytest.fixture
def script(tmp_path):
    """The script beside the modules that it imports."""
    (tmp_path / "node_modules").symlink_to(MODULES.resolve(), target_is_directory=True)
    return shutil.copy(SCRIPT, tmp_path)


async def test_it_is_answered_as_a_project_answers_it(url, script):
    arguments = (url, "sb_secret_test", "sb_publishable_test", token(USER_A))
    process = await asyncio.create_subprocess_exec(
        NODE, script, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, error.decode()
    said = json.loads(out)
    found = {name: (one["status"], one["code"] or one["data"]) for name, one in said.items()}
    assert found == ANSWERS
    assert (said["range"]["count"], said["head"]["count"]) == (4, 4)
