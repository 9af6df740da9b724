"""The commands a pull request runs: their reports, their exit codes, and nothing secret in either."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sba_supabase.cli import main
from tests.unit.supabase.planting import plain, secret_key

KEY = secret_key(random.Random(9))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "main.js").write_text(plain(KEY, random.Random(0)))
    return folder


def test_a_scan_tells_its_findings_by_its_exit_code(dist: Path):
    found = run("scan", dist)
    assert found.exit_code == 1
    assert "main.js:1:12: secret-key: a secret key [sha256:" in found.output
    assert KEY[10:] not in found.output
    (dist / "main.js").write_text("let a = 1")
    assert run("scan", dist).exit_code == 0
    (dist / "layer.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    assert run("scan", dist).exit_code == 2


def test_a_scan_as_sarif_is_a_log_of_one_run(dist: Path, tmp_path: Path):
    output = tmp_path / "scan.sarif"
    assert run("scan", dist, "--format", "sarif", "--output", output).exit_code == 1
    log = json.loads(output.read_text())
    (run_,) = log["runs"]
    (result,) = run_["results"]
    assert log["version"] == "2.1.0"
    assert run_["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "secret-key"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("/dist/main.js")
    assert place["region"] == {"startLine": 1, "startColumn": 12}
    assert run_["invocations"][0]["executionSuccessful"] is True
    assert KEY[10:] not in output.read_text()


def test_sarif_carries_reasons_and_what_was_not_looked_at(dist: Path, tmp_path: Path):
    allow = tmp_path / "allow.toml"
    entry = '[[allow]]\nrule = "secret-key"\npath = "{}"\nreason = "a test stack"\n'
    allow.write_text(entry.format("*main.js") + entry.format("*gone.js"))
    (dist / "x.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    result = run("scan", dist, "--allow", allow, "--format", "sarif")
    assert result.exit_code == 2
    (run_,) = json.loads(result.output)["runs"]
    assert run_["results"][0]["suppressions"][0]["justification"] == "a test stack"
    notices = run_["invocations"][0]["toolExecutionNotifications"]
    assert [notice["level"] for notice in notices] == ["error", "note"]


def test_an_allow_list_without_reasons_is_a_usage_error(dist: Path, tmp_path: Path):
    allow = tmp_path / "allow.toml"
    allow.write_text('[[allow]]\nrule = "secret-key"\npath = "*"\n')
    refused = run("scan", dist, "--allow", allow)
    assert refused.exit_code == 2
    assert "gives no reason" in refused.output


def test_a_key_in_a_files_name_is_not_shown(tmp_path: Path):
    (tmp_path / f"{KEY}\x1b[2J.js").write_text(plain(KEY, random.Random(0)))
    for form in ("text", "sarif"):
        output = run("scan", tmp_path, "--format", form).output
        assert KEY not in output
        assert "\x1b" not in output


def test_other_server_modules_can_be_named(dist: Path):
    (dist / "main.js").write_text("require('ours/ledger')")
    assert run("scan", dist).exit_code == 0
    assert run("scan", dist, "--server-module", "ours/ledger").exit_code == 1


def test_an_audit_tells_its_findings_by_its_exit_code(tmp_path: Path):
    service = tmp_path / "service.py"
    service.write_text("import supabase\n")
    found = run("audit", tmp_path)
    assert found.exit_code == 1
    assert "service.py:1:1: direct-import: imports supabase; use: from sba_supabase import" in found.output
    assert run("audit", tmp_path, "--exclude", "*/service.py").exit_code == 0
    service.write_text("import supa base\n")
    assert run("audit", tmp_path).exit_code == 2


def test_an_audit_as_sarif_names_every_rule_it_uses(tmp_path: Path):
    (tmp_path / "service.py").write_text(
        "from supabase import create_client\nclient = create_client('', '')\n"
    )
    (run_,) = json.loads(run("audit", tmp_path, "--format", "sarif").output)["runs"]
    assert [result["ruleId"] for result in run_["results"]] == ["direct-import", "own-client"]


def test_types_tell_that_a_database_cannot_be_read_without_its_password(tmp_path: Path):
    url = "postgresql://someone:hunter2@127.0.0.1:1/nothing"
    failed = run("types", "--database-url", url, "--output", tmp_path / "database.py")
    assert failed.exit_code == 1
    assert "cannot be read" in failed.output
    assert "hunter2" not in failed.output
