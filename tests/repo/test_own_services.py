"""The services here keep what the package's own audit asks of any service."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from sba_supabase.cli import main

ROOT = Path(__file__).resolve().parents[2]


def test_the_services_of_this_repository_pass_the_audit():
    folders = [str(ROOT / "apps" / name) for name in ("api", "ws")]
    audited = CliRunner().invoke(main, ["audit", *folders])
    assert (audited.exit_code, " 0 findings" in audited.output) == (0, True), audited.output
