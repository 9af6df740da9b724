"""The README's commands and code of the audit and the scan do what it says."""

from __future__ import annotations

import random
import re
import runpy
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from sba_supabase.cli import main
from tests.unit.supabase.planting import layer, plain, secret_key

README = Path(__file__).resolve().parents[3] / "packages/supabase/README.md"
KEY = secret_key(random.Random(41))


def section(title: str) -> str:
    text = README.read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("dist", "services/legacy"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "dist/main.js").write_text(plain(KEY, random.Random(0)))
    (tmp_path / "services/billing.py").write_text("import supabase\n")
    (tmp_path / "image.tar").write_bytes(layer(KEY.encode()))
    (allowed,) = blocks(section("Scan"), "toml")
    (tmp_path / "scan-allow.toml").write_text(allowed)
    return tmp_path


@pytest.mark.parametrize("title", ["Audit", "Scan"])
def test_the_commands_of_the_readme_run_and_find(project: Path, title: str):
    (commands,) = blocks(section(title), "sh")
    for command in commands.splitlines():
        name, *arguments = shlex.split(command)
        assert name == "sba-supabase"
        assert CliRunner().invoke(main, arguments).exit_code == 1
    assert list(project.glob("*.sarif"))


def test_the_code_of_the_readme_runs_and_finds(project: Path, capsys: pytest.CaptureFixture[str]):
    (code,) = blocks(section("Scan"), "py")
    (project / "checks.py").write_text(code)
    runpy.run_path("checks.py")
    told = capsys.readouterr().out
    assert "dist/main.js:1:12: secret-key" in told
    assert "services/billing.py:1:1: direct-import" in told
