"""The example of the stand-in's page does what it says."""

import asyncio
import re
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[3] / "docs/stand-in.md").read_text("utf-8")


async def test_a_function_of_ones_own_is_called_by_supabases_client():
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", example), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.splitlines()[-1] == b"b'" + b'{"hello": "Ada"}' + b"'"
