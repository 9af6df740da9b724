"""Each house rule was seen to fail: a planted fault, and the same place mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.lints.__main__ import broken, main, rules

ROOT = Path(__file__).resolve().parents[2]
SECRET_KEY = "sb_" + "secret_" + "a1B2" * 8
TOKEN = ".".join(["ey" + "Jhbgci" * 5, "ey" + "Jzdwii" * 5, "c2lnbmF0dXJl" * 3])
REGISTRY = "https://" + "pypi" + ".org/simple"
HOME = "/" + "home/ana/project"
PUBLIC = "NEXT_" + "PUBLIC_SUPABASE_URL"
REPOSITORY = "packages/db/src/sba_db/repositories/agent_runs.py"
UNPINNED = "permissions:\n  contents: read\njobs:\n  gate:\n    steps:\n      - uses: actions/checkout@v4\n"

FAULTS = {
    "file too long": ("size", "packages/db/src/sba_db/long.py", "x = 1\n" * 401),
    "function too long": ("size", "tools/long.py", "def f():\n" + "    x = 1\n" * 61),
    "statement without the tenant": (
        "tenant_filter",
        REPOSITORY,
        'SQL = "select id from service.agent_runs where id = %(id)s"\n',
    ),
    "repository method without a session": (
        "sessions",
        REPOSITORY,
        "async def get_run(connection: object, run_id: str) -> None: ...\n",
    ),
    "public variable on the server": (
        "public_settings",
        "apps/api/src/sba_api/settings.py",
        f'X = "{PUBLIC}"\n',
    ),
    "client without a tenant": (
        "tenant_context",
        "apps/api/src/sba_api/files.py",
        "async def f(pool):\n    client = await create_server_client(s, pool=pool)\n    client.table('t')\n",
    ),
    "secret key": ("secrets", "docs/example.md", f"key: {SECRET_KEY}\n"),
    "signed token": ("secrets", "tests/unit/test_token.py", f'TOKEN = "{TOKEN}"\n'),
    "registry host": ("places", "CONTRIBUTING.md", f"pip install -i {REGISTRY}\n"),
    "path of one machine": ("places", "docs/notes.md", f"see {HOME}\n"),
    "unlisted skip": ("skips", "tests/unit/test_x.py", "import pytest\npytest.skip('later')\n"),
    "listed skip without a reason": ("skips", "tests/skips.toml", '["tests/unit/test_x.py"]\njob = "gate"\n'),
    "action by tag": ("pinned_actions", ".github/workflows/release.yml", UNPINNED),
    "workflow without permissions": ("pinned_actions", ".github/workflows/canary.yml", "jobs: {}\n"),
    "member without anything": ("members", "packages/billing/pyproject.toml", "[project]\n"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small repository that keeps every rule."""
    for name in ("CODEOWNERS", ".importlinter", ".github/workflows/ci.yml"):
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("rule", "path", "text"), FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_fault_is_found_and_its_file_is_named(tree: Path, rule: str, path: str, text: str) -> None:
    assert broken(rule, tree) == []
    planted = tree / path
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(text, encoding="utf-8")
    found = broken(rule, tree)
    assert found
    assert path.removesuffix("/pyproject.toml") in {violation.path for violation in found}


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _, _ in FAULTS.values()} == set(rules())


def test_a_broken_rule_fails_the_command_and_says_which(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "README.md").write_text(f"see {HOME}\n", encoding="utf-8")
    assert main([str(tree)]) == 1
    assert "README.md:1: a path of one machine  [places]" in capsys.readouterr().out


def test_a_statement_that_names_its_tenant_passes(tree: Path) -> None:
    planted = tree / REPOSITORY
    planted.parent.mkdir(parents=True)
    planted.write_text(
        'SQL = "select id from service.agent_runs where tenant_id = %(tenant)s"\n', encoding="utf-8"
    )
    assert broken("tenant_filter", tree) == []


def test_a_statement_is_read_with_the_constants_it_is_composed_of(tree: Path) -> None:
    composed = 'HELD = "{filter}"\nSQL = f"update service.agent_runs set event_seq = 1 where {{HELD}}"\n'
    planted = tree / REPOSITORY
    planted.parent.mkdir(parents=True)
    planted.write_text(composed.format(filter="tenant_id = %(tenant)s"), encoding="utf-8")
    assert broken("tenant_filter", tree) == []
    planted.write_text(composed.format(filter="id = %(id)s"), encoding="utf-8")
    assert [violation.line for violation in broken("tenant_filter", tree)] == [2]


MADE = "    client = await create_server_client(settings, pool=pool)\n"
ENTERED = "await set_tenant_context(client, t)"


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (f"{MADE}    await set_tenant_context(client, t)\n    client.table('t')\n", []),
        (f"{MADE}    mine = await set_tenant_context(client, t)\n    mine.rpc('f')\n", []),
        (f"{MADE}    await client.auth.get_user()\n", []),
        (f"{MADE}    client.rpc('f')\n    await set_tenant_context(client, t)\n    client.rpc('f')\n", [3]),
        ("    async with create_client(s) as client:\n        client.storage.from_('b')\n", [3]),
        ("    return (await create_server_client(s)).functions.invoke('f')\n", [2]),
        ("    self.client = await create_client(s)\n    return self.client.schema('x')\n", [3]),
        ("    client = await create_admin_client(s, service='x')\n    client.table('t')\n", []),
        (f"{MADE}    await set_tenant_context(tenant_id=t, client=client)\n    client.table('t')\n", []),
        (f"{MADE}    if t:\n        await set_tenant_context(client, t)\n    client.table('t')\n", [5]),
        (f"{MADE}    if t:\n        return\n    else:\n        {ENTERED}\n    client.table('t')\n", []),
        (f"{MADE}    try:\n        {ENTERED}\n    except E:\n        pass\n    client.table('t')\n", [7]),
        (f"{MADE}    try:\n        {ENTERED}\n    except E:\n        raise\n    client.table('t')\n", []),
        (f"{MADE}    for t in ts:\n        {ENTERED}\n    client.table('t')\n", [5]),
        (f"{MADE}    other = client\n    other.table('t')\n", [4]),
        (f"{MADE}    getattr(client, 'table')('t')\n    getattr(client, 'auth')\n", [3]),
        (f"{MADE}    async def g():\n        client.table('t')\n", [4]),
        ("    n, client = 1, await create_client(s)\n    client.table('t')\n", [3]),
        ("    all_ = [await create_client(s)]\n    for one in all_:\n        one.table('t')\n", [4]),
        ("    match pool:\n        case 1:\n            c = await create_client(s)\n    c.table('t')\n", [5]),
    ],
)
def test_a_client_is_followed_to_its_tenant(tree: Path, body: str, lines: list[int]) -> None:
    planted = tree / "apps/api/src/sba_api/files.py"
    planted.parent.mkdir(parents=True)
    planted.write_text(f"async def f(self, pool):\n{body}", encoding="utf-8")
    assert [violation.line for violation in broken("tenant_context", tree)] == lines


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        *(("Client", 1), ("'ServerClient'", 1), ("TenantClient", 0), ("Client | None", 1), ("'a b'", 0)),
        *(("Annotated[sba_supabase.Client, 'x']", 1), ("Optional['Client']", 1)),
    ],
)
def test_a_client_that_is_taken_is_a_tenants(tree: Path, kind: str, count: int) -> None:
    planted = tree / "packages/x/src/sba_x/files.py"
    planted.parent.mkdir(parents=True)
    planted.write_text(f"def f(client: {kind}):\n    return client.table('t')\n", encoding="utf-8")
    assert len(broken("tenant_context", tree)) == count


ROUNDABOUT = """
from sba_supabase import create_client as make

async def helper():
    return await make(s)

class Service:
    async def start(self):
        self.client = await make(s)
        self.mine = await make(s)
        await set_tenant_context(self.mine, t)

    async def work(self):
        self.client.table("t")
        self.mine.table("t")
        (await helper()).table("t")
"""


def test_a_client_is_followed_through_a_module(tree: Path) -> None:
    planted = tree / "packages/x/src/sba_x/service.py"
    planted.parent.mkdir(parents=True)
    planted.write_text(ROUNDABOUT, encoding="utf-8")
    assert [violation.line for violation in broken("tenant_context", tree)] == [14, 16]


def test_this_repository_keeps_every_rule() -> None:
    assert {rule: broken(rule, ROOT) for rule in rules()} == {rule: [] for rule in rules()}
