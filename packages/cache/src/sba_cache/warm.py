"""Fill a cache ahead of its readers, a few loads at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sba_cache.key import CacheKey

Ask = Callable[[CacheKey, Callable[[], Awaitable[Any]]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Warmed:
    """How a warm-up went.

    Attributes:
        ready: Keys that have a value now, loaded or already there.
        failed: Keys whose loader failed, with the error.
    """

    ready: int
    failed: dict[CacheKey, Exception]


async def warm_all(
    pairs: Iterable[tuple[CacheKey, Callable[[], Awaitable[Any]]]], ask: Ask, *, concurrency: int
) -> Warmed:
    """Ask for each key, a few at a time; a loader that fails is no error.

    Raises:
        ValueError: `concurrency` is below 1.
    """
    if concurrency < 1:
        raise ValueError("concurrency is at least 1")
    failed: dict[CacheKey, Exception] = {}
    ready = 0
    left = iter(pairs)

    async def work() -> None:
        nonlocal ready
        for key, loader in left:
            try:
                await ask(key, loader)
            except Exception as error:  # noqa: BLE001 - the report says which failed
                failed[key] = error
            else:
                ready += 1

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return Warmed(ready, failed)
