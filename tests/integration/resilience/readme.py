"""Runs the examples of a README against the real server."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

PACKAGES = Path(__file__).parents[3] / "packages"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


async def run_examples(package: str, redis_url: str) -> list[str]:
    """What each example printed; an example that fails is an error."""
    text = (PACKAGES / package / "README.md").read_text()
    return [await _run(code.replace("redis://localhost:6379/0", redis_url)) for code in BLOCK.findall(text)]


async def _run(code: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        code,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()
