"""Invalidation: a new version, sent until it is acknowledged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from sba_cache import metrics
from sba_cache.acknowledged import Acknowledged, tenant_of
from sba_cache.coherence import Coherence, Scope, new_version
from sba_cache.record import VERSION_BYTES
from sba_resilience.deadline import Deadline
from sba_resilience.errors import RedisError, RedisUnavailable
from sba_resilience.redis import RedisClient
from sba_telemetry import get_logger

OWED: Final = 10_000
"""Invalidations kept apart while Redis is away; beyond, a tenant's become one of all its values."""
AT_ONCE: Final = 64
"""Owed invalidations sent together, so that one that fails holds up no other."""
RETRY_FIRST: Final = 0.05
RETRY_LAST: Final = 1.0
_log = get_logger(__name__)


class Versions:
    """The versions of one client.

    An invalidation that was not acknowledged is owed: it is sent again until it is, and meanwhile this
    node answers nothing from any level that it is about. What a server acknowledged lately is owed again
    when another server takes its place, or the same one starts again: it may know nothing of it.

    Args:
        redis: The guarded client.
        coherence: Told of what changes here.
        ttl: Seconds to keep a version.
        clock: Monotonic seconds.
    """

    def __init__(
        self, redis: RedisClient, coherence: Coherence, *, ttl: float, clock: Callable[[], float]
    ) -> None:
        self._redis = redis
        self._coherence = coherence
        self._ms = round(ttl * 1000)
        self._owed: dict[str, int] = {}
        self._acknowledged = Acknowledged(clock)
        self._server: str | None = None
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

    @property
    def owing(self) -> bool:
        """Whether any invalidation is still to be acknowledged, as far as is known."""
        return bool(self._owed)

    def owes(self, scope: Scope) -> bool:
        """Whether an invalidation of these values is still to be acknowledged."""
        self._look()
        return bool(self._owed) and not self._owed.keys().isdisjoint(scope.version_keys)

    async def settle(self, scope: Scope) -> None:
        """Pay what is owed before anything is read.

        Raises:
            RedisError: It is still owed.
        """
        self._look()
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
        self._look()
        await self._change(name)
        self._coherence.changed(name)
        self._acknowledged.add(name)
        self._look()
        if self._owed.get(name, turn) < turn:
            del self._owed[name]

    async def _change(self, name: str) -> None:
        try:
            await self._redis.execute("SET", name, new_version(), "PX", self._ms)
        except RedisUnavailable as error:
            if error.reason != "not_ready":
                raise
            # A full server still deletes, and a version that is gone makes its values a miss, too.
            await self._redis.execute("DEL", name)

    def _look(self) -> None:
        """Owe again what was acknowledged by a server that is no longer there."""
        server = self._redis.server_id
        if server is None or server == self._server:
            return
        before, self._server = self._server, server
        if before is not None and not set(before.split(",")) <= set(server.split(",")):
            for name in self._acknowledged.take():
                self._coherence.changed(name)
                self._owe(name)

    def _owe(self, name: str) -> None:
        self._owed[name] = self._turn
        if len(self._owed) > OWED:
            self._owe_tenant(tenant_of(name))
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
            failed: set[str] = set()
            names = iter(tuple(self._owed))
            while some := tuple(islice(names, AT_ONCE)):
                failed.update(await asyncio.gather(*map(self._attempt, some)))
            if "closed" in failed:
                _log.warning("cache.invalidations_lost", count=len(self._owed))
                return
            if refused := failed - {""}:
                _log.warning("cache.invalidations_owed", count=len(self._owed), errors=sorted(refused))
            pause = min(pause * 2, RETRY_LAST)

    async def _attempt(self, name: str) -> str:
        """Send one that is owed, whatever becomes of the others; what it failed with, or nothing."""
        if name not in self._owed:
            return ""
        metrics.pending.count += 1
        try:
            await self._send(name)
        except RedisUnavailable as error:
            return error.reason
        except RedisError as error:
            return type(error).__name__
        return ""
