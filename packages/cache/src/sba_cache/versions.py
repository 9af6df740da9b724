"""Invalidation: a new version, sent until it is acknowledged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from sba_cache import metrics
from sba_cache.coherence import Coherence, Scope, new_version
from sba_cache.record import VERSION_BYTES
from sba_resilience.deadline import Deadline
from sba_resilience.errors import RedisError, RedisUnavailable
from sba_resilience.redis import RedisClient
from sba_telemetry import get_logger

OWED: Final = 10_000
"""Invalidations kept apart while Redis is away; beyond, a tenant's become one of all its values."""
RETRY_FIRST: Final = 0.05
RETRY_LAST: Final = 1.0
_log = get_logger(__name__)


class Versions:
    """The versions of one client.

    An invalidation that was not acknowledged is owed: it is sent again until it is, and meanwhile this
    node answers nothing from any level that it is about.

    Args:
        redis: The guarded client.
        coherence: Told of what changes here.
        ttl: Seconds to keep a version.
    """

    def __init__(self, redis: RedisClient, coherence: Coherence, *, ttl: float) -> None:
        self._redis = redis
        self._coherence = coherence
        self._ms = round(ttl * 1000)
        self._owed: dict[str, int] = {}
        self._turn = 0
        self._retrying: asyncio.Task[None] | None = None

    async def bump(self, name: str) -> None:
        """Make every value that depends on a version stale.

        Raises:
            RedisError: It may not have happened yet; it is tried again in the background.
            DeadlineExceeded: As above.
        """
        self._coherence.changed(name)
        try:
            await self._send(name)
        except BaseException:
            self._owe(name)
            raise

    async def first(self, scope: Scope, versions: Sequence[bytes | None]) -> bytes:
        """Settle on versions before a load begins: of concurrent callers, the first sets them.

        Args:
            scope: Whose versions.
            versions: As they were read; of those that are gone or damaged a new one is made.

        Returns:
            The versions, one after the other.

        Raises:
            RedisError: They cannot be settled.
        """
        pairs = zip(scope.version_keys, versions, strict=True)
        return b"".join(await asyncio.gather(*(self._settled(name, version) for name, version in pairs)))

    def owes(self, scope: Scope) -> bool:
        """Whether an invalidation of these values is still to be acknowledged."""
        return bool(self._owed) and not self._owed.keys().isdisjoint(scope.version_keys)

    async def settle(self, scope: Scope) -> None:
        """Pay what is owed before anything is read.

        Raises:
            RedisError: It is still owed.
        """
        for name in scope.version_keys:
            if name in self._owed:
                await self._send(name)

    async def _settled(self, name: str, version: bytes | None) -> bytes:
        if version is not None and len(version) == VERSION_BYTES:
            return version
        mine = new_version()
        unless_set = () if version is not None else ("NX",)
        _, settled = await asyncio.gather(
            self._redis.execute("SET", name, mine, "PX", self._ms, *unless_set),
            self._redis.execute("GET", name),
        )
        return settled or mine

    async def _send(self, name: str) -> None:
        self._turn += 1
        turn = self._turn
        await self._redis.execute("SET", name, new_version(), "PX", self._ms)
        self._coherence.changed(name)
        if self._owed.get(name, turn) < turn:
            del self._owed[name]

    def _owe(self, name: str) -> None:
        self._owed[name] = self._turn
        if len(self._owed) > OWED:
            self._owe_tenant(name[: name.index("}") + 1])
        if self._retrying is None or self._retrying.done():
            with Deadline.detached():
                self._retrying = asyncio.get_running_loop().create_task(self._retry())

    def _owe_tenant(self, tenant: str) -> None:
        for name in [name for name in self._owed if name.startswith(tenant)]:
            del self._owed[name]
        self._owed[tenant] = self._turn
        self._coherence.changed(tenant)

    async def _retry(self) -> None:
        pause = RETRY_FIRST
        while self._owed:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            try:
                for name in tuple(self._owed):
                    metrics.pending.count += 1
                    await self._send(name)
            except RedisUnavailable as error:
                if error.reason == "closed":
                    _log.warning("cache.invalidations_lost", count=len(self._owed))
                    return
            except RedisError as error:
                _log.warning("cache.invalidation_refused", error=type(error).__name__)
            pause = min(pause * 2, RETRY_LAST)
