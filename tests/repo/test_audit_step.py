"""The gate audits this repository's own services, and stops at a planted fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import check

ROOT = Path(__file__).resolve().parents[2]
FAULTS = {
    "direct-import": "from supabase import Client\n",
    "own-client": 'ADDRESS = "/rest/v1/things"\n',
    "public-variable": 'NAME = "NEXT_" + "PUBLIC_SUPABASE_URL"\n',
    "own-setting": "import os\n\nKEY = os.environ['SUPABASE_SERVICE_ROLE_KEY']\n",
    "allow-without-reason": "import supabase  # sba-audit: allow\n",
}


def audited(folder: Path) -> subprocess.CompletedProcess[str]:
    (step,) = check.chosen(["audit"])
    command = [str(Path(sys.executable).parent / step.command[0]), *step.command[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=110)


def test_this_repository_passes_the_audit() -> None:
    found = audited(ROOT)
    assert (found.returncode, found.stderr) == (0, ""), found.stdout
    assert " 0 not looked at" in found.stdout


def planted(folder: Path, place: str, text: str) -> None:
    for name in ("packages", "apps", place):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / place / "planted.py").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("rule", FAULTS)
def test_the_audit_stops_the_gate_at_a_planted_fault(tmp_path: Path, rule: str) -> None:
    planted(tmp_path, "apps/api/src/sba_api", FAULTS[rule])
    found = audited(tmp_path)
    assert found.returncode == 1
    assert "apps/api/src/sba_api/planted.py" in found.stdout
    assert f": {rule}: " in found.stdout


def test_only_what_speaks_to_supabase_for_the_others_is_left_out(tmp_path: Path) -> None:
    for place in ("packages/supabase/src/sba_supabase", "apps/local/src/sba_local"):
        planted(tmp_path, place, FAULTS["direct-import"])
    assert audited(tmp_path).returncode == 0
    planted(tmp_path, "packages/agents/src/sba_agents", FAULTS["direct-import"])
    assert audited(tmp_path).returncode == 1
