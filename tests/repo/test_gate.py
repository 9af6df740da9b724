"""The gate catches what it claims to catch: one planted fault for each of its tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import check, coverage_floor, install_alone
from tools.lints.members import member_folders

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


CLEAN = '"""A module."""\n\nANSWER: int = 42\n'
LINT_FAULTS = {
    "print": ("T201", 'print("x")\n'),
    "environment outside settings": ("TID251", 'import os\n\nHOME = os.environ["HOME"]\n'),
    "wall clock": ("TID251", "import time\n\nNOW = time.time()\n"),
    "local time": ("TID251", "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)\n"),
    "pickle": ("TID251", "import pickle\n\nLOADS = pickle.loads\n"),
    "supabase client": ("TID251", "import supabase\n\nMAKE = supabase.create_client\n"),
    "relative import": ("TID252", "from . import errors\n\nE = errors\n"),
    "blind except": ("BLE001", "try:\n    ANSWER = 1\nexcept Exception:\n    ANSWER = 2\n"),
    "sql by string": ("S608", 'QUERY = f"select {1} from t where id = {2}"\n'),
    "suppression without a code": ("PGH004", "ANSWER = 1  # noqa\n"),
    "no docstring": ("D103", "def answer() -> int:\n    return 1\n"),
    "no annotation": ("ANN201", 'def answer():\n    """Say it."""\n    return 1\n'),
    "complexity": (
        "C901",
        'def f(x: int) -> int:\n    """Say it."""\n'
        + "".join(f"    if x == {n}:\n        x += 1\n" for n in range(9)),
    ),
}


@pytest.mark.parametrize(("code", "fault"), LINT_FAULTS.values(), ids=LINT_FAULTS.keys())
def test_the_linter_finds_a_planted_fault(code: str, fault: str) -> None:
    command = [
        BIN / "ruff",
        "check",
        "--no-cache",
        "--stdin-filename",
        "packages/db/src/sba_db/planted.py",
        "-",
    ]
    text = f'"""A module."""\n\n{fault}'
    found = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert code in found.stdout


def test_the_formatter_finds_a_planted_fault(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(CLEAN, encoding="utf-8")
    command = [BIN / "ruff", "format", "--no-cache", "--config", ROOT / "ruff.toml", "--check", planted]
    assert run(*command).returncode == 0
    planted.write_text("answer = {'a':1}\n", encoding="utf-8")
    assert run(*command).returncode == 1


def test_the_type_checker_finds_a_planted_fault(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    command = [
        BIN / "mypy",
        "--config-file",
        ROOT / "pyproject.toml",
        "--cache-dir",
        tmp_path / "cache",
        planted,
    ]
    planted.write_text("def double(x: int) -> int:\n    return x * 2\n", encoding="utf-8")
    assert run(*command).returncode == 0
    planted.write_text("def double(x):\n    return x * 2\n", encoding="utf-8")
    found = run(*command)
    assert found.returncode == 1
    assert "[no-untyped-def]" in found.stdout


IMPORT_FAULTS = {
    "Imports point down the map": ("packages/telemetry/src/sba_telemetry/planted.py", "import sba_db\n"),
    "Postgres is reached through sba_db": ("apps/api/src/sba_api/planted.py", "import psycopg\n"),
    "Redis is reached through sba_resilience.redis": (
        "packages/ratelimit/src/sba_ratelimit/planted.py",
        "import redis\n",
    ),
    "Tokens are handled by sba_supabase.auth": ("apps/ws/src/sba_ws/planted.py", "import jwt\n"),
    "Supabase's client is reached through sba_supabase": (
        "apps/api/src/sba_api/planted.py",
        "import postgrest\n",
    ),
    "The queue is driven by sba_agents.jobs": ("apps/api/src/sba_api/planted.py", "import procrastinate\n"),
    "Web frameworks stay in the apps": (
        "packages/ratelimit/src/sba_ratelimit/planted.py",
        "import starlette\n",
    ),
    "Only sba_telemetry.sdk knows the metrics client": (
        "apps/api/src/sba_api/planted.py",
        "import prometheus_client\n",
    ),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("sources")
    for folder in member_folders(ROOT):
        name = folder.relative_to(ROOT)
        shutil.copytree(folder / "src", copy / name / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", copy)
    return copy


def lint_imports(sources: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(folder) for folder in sorted(sources.glob("*/*/src")))
    return run(BIN / "lint-imports", "--no-cache", cwd=sources, PYTHONPATH=path)


@pytest.mark.parametrize("contract", IMPORT_FAULTS)
def test_an_import_contract_finds_a_planted_fault(sources: Path, contract: str) -> None:
    name, fault = IMPORT_FAULTS[contract]
    planted = sources / name
    planted.write_text(fault, encoding="utf-8")
    try:
        found = lint_imports(sources)
    finally:
        planted.unlink()
    assert found.returncode == 1
    assert f"{contract} BROKEN" in found.stdout
    assert planted.stem in found.stdout


def test_every_import_contract_is_kept_and_has_a_planted_fault(sources: Path) -> None:
    found = lint_imports(sources)
    assert found.returncode == 0, found.stdout
    kept = {line.removesuffix(" KEPT") for line in found.stdout.splitlines() if line.endswith(" KEPT")}
    assert kept == set(IMPORT_FAULTS)


def test_a_library_below_the_coverage_floor_is_named() -> None:
    def summary(covered_branches: int) -> dict[str, object]:
        counts = {"num_statements": 100, "covered_lines": 94, "num_branches": 10}
        return {"summary": {**counts, "covered_branches": covered_branches}}

    report = {
        "files": {
            "packages/db/src/sba_db/a.py": summary(8),
            "packages/cache/src/sba_cache/b.py": summary(9),
            "packages/knowledge/src/sba_knowledge/b.py": summary(9),
            "apps/api/src/sba_api/c.py": summary(0),
        }
    }
    failures = list(coverage_floor.below(coverage_floor.tally(report), {"packages/db", "packages/agents"}))
    assert failures == [
        "packages/agents: no test reached it",
        "packages/cache: 94.0% lines, 90.0% branches; floor 95% and 90%",
        "packages/db: 94.0% lines, 80.0% branches; floor 95% and 90%",
    ]


def test_coverage_below_the_floor_fails_the_command(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"files": {}}), encoding="utf-8")
    assert coverage_floor.main([str(report)]) == 1


def test_a_lock_that_does_not_match_is_refused(tmp_path: Path) -> None:
    for name in (
        "pyproject.toml",
        "uv.lock",
        *(f"{m.relative_to(ROOT)}/pyproject.toml" for m in member_folders(ROOT)),
    ):
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    assert run("uv", "lock", "--check", cwd=tmp_path).returncode == 0
    changed = tmp_path / "packages/cache/pyproject.toml"
    changed.write_text(
        changed.read_text(encoding="utf-8").replace("msgspec>=0.19", "click>=8.1"), encoding="utf-8"
    )
    assert run("uv", "lock", "--check", cwd=tmp_path).returncode != 0


def test_a_member_that_exports_what_it_lacks_does_not_pass_the_probe(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text('__all__ = ["missing"]\n', encoding="utf-8")
    found = run(sys.executable, "-c", install_alone.PROBE, "planted", PYTHONPATH=str(tmp_path))
    assert found.returncode == 1
    assert "missing" in found.stderr


def test_a_member_that_needs_an_undeclared_neighbour_is_found_out() -> None:
    folders = {folder.name: folder for folder in member_folders(ROOT)}
    assert install_alone.closure("cache", folders) == {"cache", "resilience", "telemetry"}
    assert "db" not in install_alone.closure("supabase", folders)


def test_the_gate_stops_at_the_first_step_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    steps = (
        check.Step("first", (sys.executable, "-c", "raise SystemExit(3)")),
        check.Step("second", (sys.executable, "-c", f"open({str(reached)!r}, 'w')")),
    )
    monkeypatch.setitem(vars(check), "STEPS", steps)
    assert check.main([]) == 1
    assert not reached.exists()
    assert check.main(["second"]) == 0
    assert reached.exists()


def test_the_gate_runs_the_commands_that_the_readme_gives() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = {" ".join(step.command[:2]) for step in check.STEPS}
    for command in ("./sba demo", "./sba test"):
        assert command in readme
        assert command in commands
    assert "./sba check" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert ".ci/run" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
