"""A repository method without a tenant's session does not pass the type checker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PLANTED = """
from uuid import UUID

from sba_db import Database, Reader, TenantSession, agent_runs, system_health
from sba_db.method import repository_method
from sba_db.sessions import ReadSession


@repository_method
async def stray(connection: object) -> None: ...


@repository_method
async def fine(session: ReadSession, run_id: UUID) -> None: ...


async def misuse(database: Database, reader: Reader, session: TenantSession, run_id: UUID) -> None:
    await agent_runs.get_run(database, run_id)
    await agent_runs.cancel_run(reader, run_id=run_id)
    await system_health.latest(session)
    await fine(session, run_id)
    await agent_runs.get_run(reader, run_id)
"""


def test_the_type_checker_refuses_a_stray_method_a_missing_session_and_a_write_through_a_reader(
    tmp_path: Path,
) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(PLANTED.lstrip(), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(planted)]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    found = [line for line in checked.stdout.splitlines() if line.startswith(("planted.py", str(planted)))]
    wrong = PLANTED.lstrip().splitlines()
    assert checked.returncode == 1
    assert [wrong[int(line.split(":")[1]) - 1].strip() for line in found] == [
        "@repository_method",
        "await agent_runs.get_run(database, run_id)",
        "await agent_runs.cancel_run(reader, run_id=run_id)",
        "await system_health.latest(session)",
    ]
