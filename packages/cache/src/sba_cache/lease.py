"""The right to load a value, of one process at a time; a holder that died loses it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, NamedTuple

from sba_cache.coherence import Scope, new_version
from sba_resilience.errors import RedisError
from sba_resilience.redis import RedisClient, Script

FENCE_BYTES: Final = 16
LONGEST: Final = 30.0
"""Seconds for which a load keeps its lease, unless its policy gives it longer."""
_SCRIPTS: Final = files("sba_cache") / "scripts"


class Names(NamedTuple):
    """Where a value and the lease of its load are stored, and what the value depends on."""

    scope: Scope
    digest: str

    @property
    def value(self) -> str:
        """Of the value."""
        return self.scope.value_prefix + self.digest

    @property
    def lease(self) -> str:
        """Of the lease."""
        return self.scope.lease_prefix + self.digest

    @property
    def keys(self) -> tuple[str, ...]:
        """As the scripts want them."""
        return (self.lease, self.value, *self.scope.version_keys)


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether to load.

    Attributes:
        granted: The lease is ours.
        stored: What someone else stored in the meantime, if anything.
        stamp: The present versions.
        fence: What no other holder of the lease has.
    """

    granted: bool
    stored: bytes | None
    stamp: bytes
    fence: bytes


class Leases:
    """Leases of one client; each call is one script.

    Args:
        redis: The guarded client.
        seconds: After which the lease of a process that died is free.
        version_ttl: Seconds a new version is kept.
    """

    def __init__(self, redis: RedisClient, *, seconds: float, version_ttl: float) -> None:
        self._seconds = seconds
        self._version_ms = round(version_ttl * 1000)
        self._begin = _load(redis, "begin.lua")
        self._finish = _load(redis, "finish.lua")
        self._renew = _load(redis, "renew.lua")
        self._put = _load(redis, "put.lua")
        self._remove = _load(redis, "remove.lua")

    async def begin(self, names: Names, seen: bytes) -> Turn:
        """Ask for the lease of a value.

        Args:
            names: The value.
            seen: The head of what was read; something else there now is not loaded again.

        Raises:
            RedisError: It may have been granted: then it runs out.
        """
        fence = secrets.token_bytes(FENCE_BYTES)
        ms = round(self._seconds * 1000)
        reply = await self._begin(names.keys, (fence, ms, seen, new_version(), self._version_ms))
        granted, stored, stamp = reply
        return Turn(bool(granted), stored, stamp, fence)

    @contextlib.asynccontextmanager
    async def kept(self, names: Names, turn: Turn, longest: float | None) -> AsyncIterator[None]:
        """Hold the lease for the time of the block, and give it back when that fails."""
        renewing = asyncio.create_task(self._renewals(names, turn, max(LONGEST, longest or 0.0)))
        try:
            yield
        except Exception:
            with contextlib.suppress(RedisError):
                await self.finish(names, turn, b"", keep=0.001)
            raise
        finally:
            renewing.cancel()

    async def finish(self, names: Names, turn: Turn, stored: bytes, *, keep: float) -> bool:
        """Store what was loaded and give the lease back.

        Args:
            names: The value.
            turn: Which granted the lease.
            stored: The record; nothing gives the lease back only.
            keep: Seconds to keep it.

        Returns:
            Whether it was stored: the lease was still ours and nothing it depends on was invalidated.

        Raises:
            RedisError: It may have been stored.
        """
        args = (turn.fence + turn.stamp, turn.stamp, stored, _ms(keep), self._version_ms)
        return bool(await self._finish(names.keys, args))

    async def put(self, names: Names, head: bytes, payload: bytes, *, keep: float) -> None:
        """Store a value under the present versions, whoever is loading it.

        Raises:
            RedisError: It may have been stored.
        """
        keys = (names.lease, names.value, names.scope.touch_key, *names.scope.version_keys)
        await self._put(keys, (head, payload, _ms(keep), new_version(), self._version_ms))

    async def remove(self, names: Names) -> None:
        """Remove a value, and keep a load under way from storing it.

        Raises:
            RedisError: It may have been removed.
        """
        await self._remove(
            (names.lease, names.value, names.scope.touch_key), (new_version(), self._version_ms)
        )

    async def _renewals(self, names: Names, turn: Turn, longest: float) -> None:
        every = self._seconds / 3
        for _ in range(int(longest / every)):
            await asyncio.sleep(every)
            with contextlib.suppress(RedisError):
                if not await self._renew(
                    (names.lease,), (turn.fence + turn.stamp, round(self._seconds * 1000))
                ):
                    return


def _load(redis: RedisClient, name: str) -> Script:
    return redis.script((_SCRIPTS / name).read_text(encoding="utf-8"))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
