"""Supabase used past sba_supabase is found, however it is spelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from sba_supabase.audit import AuditOptions, audit
from sba_supabase.checks.findings import Report

PUBLIC = "NEXT_" + "PUBLIC_"


def audited(folder: Path, source: str) -> Report:
    (folder / "service.py").write_text(source)
    return audit([folder])


def rules_of(folder: Path, source: str) -> list[str]:
    report = audited(folder, source)
    assert report.problems == ()
    return [finding.rule for finding in report.findings]


@pytest.mark.parametrize(
    "source",
    [
        "import supabase",
        "import supabase as sb",
        "import json, supabase.lib.client_options as options",
        "from supabase import Client",
        "from supabase._async import client",
        "import postgrest",
        "from postgrest.exceptions import APIError as Broken",
        "import gotrue",
        "import supabase_auth.errors",
        "from storage3 import AsyncStorageClient",
        "from supabase_functions import errors",
        "import realtime",
        "if True:\n    def f():\n        import supabase",
        "import importlib\nimportlib.import_module('supabase')",
        "import importlib as il\nil.import_module('supabase.client')",
        "from importlib import import_module as load\nload('postgrest')",
        "from importlib import import_module\nload = import_module\nload('gotrue')",
        "import importlib\nimportlib.import_module(name='supabase')",
        "import importlib\nimportlib.import_module('supa' + 'base')",
        "__import__('supabase')",
        "import builtins\nbuiltins.__import__('storage3')",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from supabase import Client",
    ],
)
def test_a_direct_import_is_found(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == ["direct-import"]


@pytest.mark.parametrize(
    "source",
    [
        "import sba_supabase",
        "from sba_supabase import create_client, create_admin_client\ncreate_client(1)",
        "from . import supabase",
        "from .supabase import create_client\ncreate_client()",
        "import ours.supabase",
        "import importlib\nimportlib.import_module('json')\nimportlib.import_module(name)",
        "create_client('a', 'b')",
        'def f():\n    """Speaks of NEXT_' + 'PUBLIC_X and /rest/v1/ to people."""',
        "issuer = f'{url}/auth/v1'",
        "supabase = 1\nsupabase.x",
    ],
)
def test_what_is_not_supabase_is_no_finding(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from supabase import create_client\nc = create_client(url, key)",
        "from supabase import acreate_client as make\nasync def f():\n    await make(url, key)",
        "import supabase as sb\nsb.create_client(url, key)",
        "import supabase\nmake = supabase.create_client\nmake(url, key)",
        "import importlib\nimportlib.import_module('supabase').create_client(url, key)",
        "sb = __import__('supabase')\nsb.AsyncClient(url, key)",
        "from postgrest import AsyncPostgrestClient\nAsyncPostgrestClient(url)",
    ],
)
def test_a_client_of_its_own_is_found_beside_the_import(tmp_path: Path, source: str):
    assert sorted(rules_of(tmp_path, source)) == ["direct-import", "own-client"]


@pytest.mark.parametrize(
    "source",
    [
        "httpx.get(f'{url}/rest/v1/things')",
        "httpx.AsyncClient(base_url=url + '/rest/v1')",
        "path = '/storage/v1/object/bucket'",
        "requests.post(base + '/functions/v1/' + name)",
        "await_token = '/auth/v1/token?grant_type=password'",
    ],
)
def test_supabases_addresses_are_found(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == ["own-client"]


@pytest.mark.parametrize(
    "source",
    [
        f"import os\nos.environ['{PUBLIC}SUPABASE_URL']",
        f"import os\nos.getenv('{PUBLIC}SUPABASE_ANON_KEY')",
        f"NAME = '{PUBLIC}X'",
        "NAME = 'NEXT_' + 'PUBLIC_X'",
        f"NAME = f'{PUBLIC}{{rest}}'",
        f"class Settings(BaseSettings):\n    {PUBLIC.lower()}supabase_url: str",
        f"class Settings(BaseSettings):\n    url: str = Field(alias='{PUBLIC.lower()}supabase_url')",
        f"class Settings(BaseSettings):\n    model_config = SettingsConfigDict(env_prefix='{PUBLIC}')",
    ],
)
def test_a_public_variable_on_a_server_is_found(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == ["public-variable"]


@pytest.mark.parametrize(
    "source",
    [
        "import os\nkey = os.environ['SUPABASE_SERVICE_ROLE_KEY']",
        "import os as o\nkey = o.environ.get('SUPABASE_URL', '')",
        "from os import environ as e\nkey = e['SUPABASE_JWT_SECRET']",
        "from os import getenv\nkey = getenv('SUPABASE_SERVICE_KEY')",
    ],
)
def test_a_setting_read_by_itself_is_found(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == ["own-setting"]


@pytest.mark.parametrize(
    ("source", "instead"),
    [
        ("from supabase import create_client", "from sba_supabase import create_client"),
        ("import supabase", "from sba_supabase import create_server_client"),
        ("import storage3", "from sba_supabase import storage"),
        ("import gotrue", "from sba_supabase import TokenVerifier, create_server_client"),
        ("import supabase_functions", "from sba_supabase import functions"),
        ("import postgrest", "from sba_supabase import queries, mutations"),
        ("import os\nos.environ['SUPABASE_URL']", "from sba_supabase import ServerSettings, load_settings"),
    ],
)
def test_each_finding_names_what_to_use_instead(tmp_path: Path, source: str, instead: str):
    (finding,) = audited(tmp_path, source).findings
    assert finding.message.endswith(f"use: {instead}")


def test_a_comment_with_a_reason_allows_the_finding_beside_it(tmp_path: Path):
    report = audited(tmp_path, "import supabase  # sba-audit: allow the contract test of the real client\n")
    assert (report.exit_code, report.findings) == (0, ())
    assert [finding.reason for finding in report.allowed] == ["the contract test of the real client"]


def test_a_comment_anywhere_in_the_statement_counts(tmp_path: Path):
    source = (
        "from supabase import (\n    create_client,  # sba-audit: allow a contract test\n    Client,\n)\n"
    )
    assert len(audited(tmp_path, source).allowed) == 2


def test_a_comment_without_a_reason_allows_nothing_and_is_found(tmp_path: Path):
    found = rules_of(tmp_path, "import supabase  # sba-audit: allow\n")
    assert sorted(found) == ["allow-without-reason", "direct-import"]


def test_a_comment_that_allows_nothing_is_found(tmp_path: Path):
    assert rules_of(tmp_path, "import json  # sba-audit: allow it was needed once\n") == ["allow-unused"]


def test_a_text_that_looks_like_a_comment_allows_nothing(tmp_path: Path):
    assert rules_of(tmp_path, "x = '# sba-audit: allow no'; import supabase\n") == ["direct-import"]


@pytest.mark.parametrize(
    "source",
    [b"def", b"\xff\xfe\x00", b"x = 1\x00", b"# coding: nonsense\n", b"(" * 5000, b"-" * 200_000 + b"1"],
)
def test_a_module_that_cannot_be_parsed_is_told(tmp_path: Path, source: bytes):
    (tmp_path / "broken.py").write_bytes(source)
    report = audit([tmp_path])
    assert report.exit_code == 2
    assert report.problems[0].reason.startswith("cannot be parsed")


def test_environments_and_excluded_paths_are_left_out(tmp_path: Path):
    for folder in (".venv/lib", "node_modules/x", "generated"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text("import supabase")
    (tmp_path / "notes.txt").write_text("import supabase")
    assert audit([tmp_path], AuditOptions(exclude=("*/generated",))).files == 0


def test_stubs_and_other_encodings_are_read(tmp_path: Path):
    (tmp_path / "a.pyi").write_text("import supabase")
    (tmp_path / "b.py").write_bytes("# coding: latin-1\nx = 'é'\nimport supabase\n".encode("latin-1"))
    assert len(audit([tmp_path]).findings) == 2
