"""What a strict type checker knows of a user's code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

USED: Final = """
import asyncio
from typing import Annotated, Any

from sba_cache import MISSING, Cache, CacheKey

Either = int | str


async def number() -> int:
    return 1


async def maybe() -> int | None:
    return None


async def either() -> int | str:
    return 1


async def page() -> dict[str, Any]:
    return {}


async def use(cache: Cache, key: CacheKey) -> None:
    got = await cache.get(key, int)
    reveal_type(got)  # int | Literal[sba_cache.cache.Missing.MISSING]
    if got is not MISSING:
        reveal_type(got)  # int
    reveal_type(await cache.get(key))  # Any
    reveal_type(await cache.get_or_load(key, number, type=int))  # int
    reveal_type(await cache.get_or_load(key, number, type=Annotated[int, "n"]))  # int
    reveal_type(await cache.get_or_load(key, maybe, type=int | None))  # int | None
    reveal_type(await cache.get_or_load(key, either, type=Either))  # int | str
    reveal_type(await cache.get_or_load(key, page, type=dict[str, Any]))  # dict[str, Any]
    reveal_type(await cache.get_or_load(key, number))  # int
    await cache.get_or_load(key, number, type=str)  # ! arg-type
    await cache.get_or_load(key, number, tags=["a"])  # ! call-overload

    @cache.cached("prices")
    async def price(tenant_id: str) -> int:
        return 1

    async with asyncio.TaskGroup() as group:
        reveal_type(group.create_task(price("t")))  # _asyncio.Task[int]
    await price(1)  # ! arg-type
    reveal_type((key.tenant_id, key.namespace))  # tuple[str, str]
    key.parts[0].nothing  # ! union-attr
"""


def test_a_strict_type_checker_knows_what_is_read_and_refuses_what_cannot_be(tmp_path: Path) -> None:
    planted = tmp_path / "used.py"
    planted.write_text(USED.lstrip(), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(planted)]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    expected = [
        (number, line.partition("  # ")[2])
        for number, line in enumerate(USED.lstrip().splitlines(), 1)
        if "  # " in line
    ]
    assert _said(checked.stdout) == expected, checked.stdout


def _said(output: str) -> list[tuple[int, str]]:
    """Lines with the type or the code of the error that was said of them."""
    said: list[tuple[int, str]] = []
    for line in output.splitlines():
        _, _, rest = line.partition("used.py:")
        number, _, message = rest.partition(": ")
        if "Revealed type is" in message:
            said.append((int(number), message.partition('"')[2].rstrip('"')))
        elif message.startswith("error: "):
            entry = (int(number), f"! {message.rpartition('[')[2].rstrip(']')}")
            said.extend([entry] if entry not in said else [])
    return said
