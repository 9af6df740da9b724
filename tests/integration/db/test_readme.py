"""The README's plain script runs as a newcomer types it, and a strict type checker finds nothing in it."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

README = Path(__file__).parents[3] / "packages" / "db" / "README.md"
SCRIPT = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


async def ran(*arguments: str, **environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={"PATH": "/usr/bin:/bin", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_the_script_stores_a_run_and_lists_it(database_urls, tmp_path):
    (found,) = SCRIPT.findall(README.read_text())
    script = tmp_path / "plain.py"
    script.write_text(found)

    code, said = await ran("-W", "error", str(script), SBA_DATABASE_URL=database_urls.app)
    assert code == 0, said
    assert re.fullmatch(r"[0-9a-f-]{36} \[<RunStatus.QUEUED: 'queued'>\]\n", said)

    code, said = await ran("-m", "mypy", "--strict", f"--cache-dir={tmp_path / 'cache'}", str(script))
    assert code == 0, said
