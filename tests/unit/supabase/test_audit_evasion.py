"""The audit sees through what hides a use of Supabase, and looks into whatever holds Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sba_supabase.audit import RULES, AuditOptions, audit
from sba_supabase.checks.allowing import read_allowances

PUBLIC = "NEXT_" + "PUBLIC_"


def rules_of(folder: Path, source: str) -> list[str]:
    (folder / "service.py").write_text(source)
    report = audit([folder])
    assert report.problems == ()
    return sorted({finding.rule for finding in report.findings})


IMPORTS = (
    "import importlib\nname = 'supabase'\nimportlib.import_module(name)",
    "import importlib\nname = 'supabase'\nimportlib.import_module(name)\nname = 'json'",
    "import importlib\nimportlib.import_module('supa%s' % 'base')",
    "import importlib\nimportlib.import_module('{}{end}'.format('supa', end='base'))",
    "import importlib\nimportlib.import_module(f\"supa{'base'}\")",
    "import importlib\nimportlib.import_module(''.join(['supa', 'base']))",
    "import importlib\nimportlib.import_module('SUPABASE'.lower())",
    "import importlib\nimportlib.import_module('xupabase'.replace('x', 's'))",
    "import importlib\ngetattr(importlib, 'import_module')('supabase')",
    "import importlib\nimportlib.__dict__['import_module']('supabase')",
    "import importlib\nvars(importlib)['import_module']('supabase')",
    "from importlib import *\nimport_module('supabase')",
    "from importlib import import_module\nimport_module('.client', 'supabase')",
    "from importlib import import_module\nimport_module('.client', package='supabase')",
    "import importlib.util\nimportlib.util.find_spec('supabase')",
    "getattr(__builtins__, '__import__')('supabase')",
    "__builtins__['__import__']('supabase')",
    "(load := __import__)('supabase')",
    "load, other = __import__, 1\nload('supabase')",
    "import runpy\nrunpy.run_module('supabase')",
    "import pkgutil\npkgutil.resolve_name('supabase:Client')",
    "import sys\nsys.modules['supabase']",
    "exec('import supabase')",
    "exec(compile('import supabase', 'x', 'exec'))",
    "eval('__import__(\"supabase\")')",
    "code = 'import supabase'\nexec(code)",
    "exec('exec(\"import supabase\")')",
    "from supabase import *",
    "import supabase_py",
)  # fmt: skip


@pytest.mark.parametrize("source", IMPORTS)
def test_a_hidden_import_is_found(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == ["direct-import"]


@pytest.mark.parametrize(
    "source",
    [
        "from supabase import *\ncreate_client('', '')",
        "from supabase import AsyncClient\nAsyncClient.create('', '')",
        "import supabase\n(sb := supabase).create_client('', '')",
        "import sys\nsys.modules['supabase'].create_client('', '')",
        "import supabase\ngetattr(supabase, 'create_client')('', '')",
        "exec('import supabase\\nsupabase.create_client(1, 2)')",
    ],
)
def test_a_hidden_client_is_found(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == ["direct-import", "own-client"]


@pytest.mark.parametrize(
    "source",
    [
        "url = '/'.join([base, 'rest', 'v1', 'things'])",
        "url = '%s/rest/v1/%s' % (base, table)",
        "url = '{}/rest/v1/{}'.format(base, table)",
        "part = '/rest'\nurl = base + part + '/v1/things'",
        "call('https://abcdefghijklmnopqrst.supabase.co')",
        "body = b'GET /auth/v1/user'",
    ],
)
def test_an_address_that_is_put_together_is_found(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == ["own-client"]


READS = (
    "import os\nos.environ.__getitem__('SUPABASE_URL')",
    "import os\nos.environb[b'SUPABASE_SERVICE_ROLE_KEY']",
    "import os\nNAME = 'SUPABASE_URL'\nos.environ[NAME]",
    "import os\nread: object = os.environ.get\nread('SUPABASE_URL')",
    "import os\nenvironment, other = os.environ, 1\nenvironment['SUPABASE_URL']",
    "import os\ndict(os.environ)['SUPABASE_URL']",
    "import os\nos.environ.copy()['SUPABASE_URL']",
    "import os\ngetattr(os, 'environ')['SUPABASE_URL']",
    "import os\nos.getenv(key='SUPABASE_URL')",
    "import os\n'SUPABASE_URL' in os.environ",
    "from os import *\nenviron['SUPABASE_URL']",
    "from dotenv import dotenv_values\ndotenv_values()['SUPABASE_URL']",
    "from decouple import config\nconfig('SUPABASE_URL')",
    "from environs import Env\nenv = Env()\nenv.str('SUPABASE_URL')",
    "from starlette.config import Config\nread = Config()\nread('SUPABASE_URL')",
    "app.config['SUPABASE_URL']",
    "class Settings:\n    url: str = Field(validation_alias='SUPABASE_URL')",
    "class Settings:\n    url: str = Field(validation_alias=AliasChoices('SUPABASE_URL', 'URL'))",
    "from pydantic_settings import BaseSettings\nclass Settings(BaseSettings):\n    supabase_url: str",
    "class Settings(BaseSettings):\n    model_config = SettingsConfigDict(env_prefix='SUPABASE_')",
    "import click\n@click.option('--url', envvar='SUPABASE_URL')\ndef run(url): ...",
    "import typer\ndef run(url=typer.Option(None, envvar=['URL', 'SUPABASE_URL'])): ...",
)  # fmt: skip


@pytest.mark.parametrize("source", READS)
def test_a_setting_read_in_another_way_is_found(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == ["own-setting"]


@pytest.mark.parametrize(
    "source",
    [
        "NAME = 'NEXT_%s_X' % 'PUBLIC'",
        "NAME = '_'.join(['NEXT', 'PUBLIC', 'X'])",
        "part = 'NEXT_'\nNAME = part + 'PUBLIC_X'",
        f"NAME = b'{PUBLIC}X'",
        f"call({PUBLIC}X=1)",
        f"settings.{PUBLIC}X",
        f"{PUBLIC}X = 1",
        f"def run({PUBLIC.lower()}x): ...",
        f"match name:\n    case '{PUBLIC}X': ...",
    ],
)
def test_a_public_variable_in_another_form_is_found(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == ["public-variable"]


@pytest.mark.parametrize(
    "source",
    [
        "stack = {'SUPABASE_URL': url}\nstart(stack)",
        "names['SUPABASE_URL']",
        "values = {}\nvalues['SUPABASE_URL'] = url",
        "import os\nos.environ['SUPABASES']\nos.environ.get('URL')",
        "raise ValueError('SUPABASE_URL is missing')",
        "class Row(BaseModel):\n    supabase_url: str",
        "from sba_supabase import ServerSettings\nclass Settings(ServerSettings):\n    other: str",
        "importlib = 1\nimportlib.import_module(name)",
        "import importlib\nimportlib.import_module('.supabase', __package__)",
        "exec('not ( python')\neval(text)",
        "'{0.x} {'.format(1)\n'%d %s' % 1\n''.join(parts)\n'a'.replace('b')",
        "import sys\nsys.modules['json']",
        "rest_v1 = 'rest/v1'",
    ],
)
def test_what_only_looks_like_it_is_no_finding(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "a = 'xxxxxxxxxxxx'\n" + "a = a + a\n" * 200,
        "a = 'a' * 9\n" + "b = 'aaaaaaaa'.replace('a', 'aaaaaaaa')\n" * 3,
        "a = 'aaaaaaaa'\n" + "a = a.replace('a', a)\n" * 60,
        "a = '{0}{0}'\n" + "a = a.format(a)\n" * 60,
        "a = '%s%s'\n" + "a = a % (a, a)\n" * 60,
        "a = 'aa'\n" + "a = a.join([a, a, a, a])\n" * 60,
        "x = " + "a + " * 900 + "'b'",
        "x = " + "'a' + " * 900 + "'b'",
    ],
)
def test_what_is_written_to_make_an_audit_slow_does_not(tmp_path: Path, source: str):
    assert rules_of(tmp_path, source) == []


def notebook(*cells: object) -> str:
    return json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": cell} for cell in cells]})


def test_a_notebook_is_read_cell_by_cell(tmp_path: Path):
    magic = ["%pip install supabase\n", "!ls\n", "import json\n"]
    written = notebook(
        magic, "%%bash\nimport supabase", "x = 1\nimport supabase", "supabase.create_client(1, 2)"
    )
    document = json.loads(written)
    document["cells"].insert(0, {"cell_type": "markdown", "source": "import supabase"})
    (tmp_path / "a.ipynb").write_text(json.dumps(document))
    found = [(finding.path, finding.line, finding.rule) for finding in audit([tmp_path]).findings]
    assert found == [
        (f"{tmp_path}/a.ipynb!4", 2, "direct-import"),
        (f"{tmp_path}/a.ipynb!5", 1, "own-client"),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 3}', notebook("import"), "{" * 9000])
def test_a_notebook_that_is_none_is_told(tmp_path: Path, text: str):
    (tmp_path / "a.ipynb").write_text(text)
    report = audit([tmp_path])
    assert report.exit_code == 2
    assert report.problems[0].reason.startswith("cannot be parsed")


def test_an_empty_notebook_is_clean(tmp_path: Path):
    (tmp_path / "a.ipynb").write_text('{"cells": [3, {"cell_type": "code"}]}')
    assert audit([tmp_path]).exit_code == 0


def test_scripts_are_known_by_their_ending_or_their_first_line(tmp_path: Path):
    (tmp_path / "serve").write_text("#!/usr/bin/env python3\nimport supabase\n")
    (tmp_path / "window.pyw").write_text("import supabase\n")
    (tmp_path / "other").write_text("#!/bin/sh\nimport supabase\n")
    (tmp_path / "empty").write_bytes(b"")
    assert [Path(finding.path).name for finding in audit([tmp_path]).findings] == ["serve", "window.pyw"]


def test_python_of_another_age_is_told_with_its_line(tmp_path: Path):
    (tmp_path / "old.py").write_text("import supabase\nprint 'hello'\n")
    (problem,) = audit([tmp_path]).problems
    assert problem.reason == "cannot be parsed: SyntaxError in line 2"


def test_a_file_too_large_to_parse_is_told(tmp_path: Path):
    (tmp_path / "large.py").write_bytes(b"x = 1\n" * 800_000)
    assert [problem.reason for problem in audit([tmp_path]).problems] == ["larger than 4 MB"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "koi8-r", "shift_jis", "utf-8-sig"])
def test_modules_in_any_encoding_are_read(tmp_path: Path, encoding: str):
    cookie = "" if encoding == "utf-8-sig" else f"# -*- coding: {encoding} -*-\n"
    text = f"{cookie}x = 'a'  # sba-audit: allow nothing\nimport supabase\n"
    (tmp_path / "a.py").write_bytes(text.encode(encoding))
    assert [finding.rule for finding in audit([tmp_path]).findings] == ["allow-unused", "direct-import"]


def test_an_allow_list_allows_with_its_reason_and_tells_what_it_does_not_need(tmp_path: Path):
    (tmp_path / "service.py").write_text("import supabase\nimport postgrest\n")
    (tmp_path / "allow.toml").write_text(
        '[[allow]]\nrule = "direct-import"\npath = "*/service.py"\nreason = "moves next week"\n'
        '[[allow]]\nrule = "own-client"\npath = "*/gone.py"\nreason = "was there"\n'
    )
    allow = read_allowances(tmp_path / "allow.toml", (rule.id for rule in RULES))
    report = audit([tmp_path], AuditOptions(allow=allow))
    assert (report.exit_code, [finding.reason for finding in report.allowed]) == (0, ["moves next week"] * 2)
    assert report.notes == ("an entry of the allow-list is not used: own-client at */gone.py",)
