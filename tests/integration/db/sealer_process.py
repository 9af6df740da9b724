"""A sealer in a process of its own, for tests that kill it where it says that it is."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sba_db import seals


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(order: dict[str, str]) -> None:
    """Seal in batches of five, and stop for ever at `uncommitted` or `batch_sealed` if told so."""
    async with await psycopg.AsyncConnection.connect(
        order["worker"], autocommit=True, row_factory=dict_row
    ) as connection:

        async def ask(query: Any, **params: Any) -> Mapping[str, Any]:
            async with connection.transaction():
                row = await (await connection.execute(query, params)).fetchone()
                if order["point"] == "uncommitted":
                    await stop("uncommitted")
            if order["point"] == "batch_sealed":
                await stop("batch_sealed")
            return row or {}

        say("sealing")
        await seals.seal(ask, most=5, most_each=5)


async def stop(point: str) -> None:
    say(point)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
