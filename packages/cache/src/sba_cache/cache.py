"""Get a value from Redis, or load it once and keep it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Hashable
from types import UnionType
from typing import Any, Final, TypeVar, cast

from sba_cache.codec import VERSION_BYTES, Codec, Foreign, Stale, codec_of
from sba_cache.flights import Flights
from sba_cache.key import CacheKey, TenantId, version_key
from sba_resilience.errors import RedisError
from sba_resilience.redis import RedisClient
from sba_telemetry import counter, histogram

T = TypeVar("T")

VERSION_TTL: Final = 7 * 24 * 3600  # seconds; a version that is gone only makes its values a miss
_requests = counter(
    "sba.cache.requests",
    description="Reads by namespace and outcome: hit, miss, stale, foreign, or error when Redis was away.",
)
_unsaved = counter("sba.cache.unsaved", description="Loaded values that could not be kept, by namespace.")
_loads = histogram("sba.cache.load", unit="s", description="Time of a load by namespace.")


class Cache:
    """Values by tenant, namespace and question; Redis being away costs speed, never an answer.

    Each stored value carries the version its namespace had before the load began, and is read together
    with the present one in one round trip: after `invalidate`, nothing loaded before it is ever seen.

    Args:
        redis: The guarded client.
        clock: Monotonic seconds, for measuring loads.
    """

    def __init__(self, redis: RedisClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._flights = Flights()

    async def get_or_load(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        *,
        ttl: float = 30.0,
        type: type[T] | UnionType | Any = Any,  # noqa: A002, ANN401 - what it is, or anything
    ) -> T:
        """The value, from Redis or from `loader`.

        Concurrent callers of one key in this process share one load, and its value: treat it as frozen.

        Args:
            key: The question.
            loader: Answers it; its errors are the caller's and are not kept.
            ttl: Seconds to keep the answer.
            type: What the answer is; stored bytes are validated against it. Without it the answer is kept
                as plain JSON-like data.

        Raises:
            NotCacheable: The type or value has no encoding.
            ValueError: `ttl` is not above 0.
            DeadlineExceeded: The current deadline passed first.
        """
        if ttl <= 0:
            raise ValueError("ttl is above 0")
        codec = codec_of(cast("Hashable", type))
        try:
            version, stored = await self._read(key)
        except RedisError:
            _count(key, "error")
            return await self._flights.join((key, None), lambda: self._load(key, loader))
        try:
            value: T = codec.decode(version, stored)
        except (Foreign, Stale) as reason:
            _count(key, _outcome(stored, reason))
            return await self._flights.join(
                (key, version, codec), lambda: self._load_and_keep(key, loader, codec, version, ttl)
            )
        _count(key, "hit")
        return value

    async def invalidate(self, tenant_id: TenantId, namespace: str) -> None:
        """Make every value of a tenant's namespace stale, with one command.

        Raises:
            RedisUnavailable: It may not have happened: values loaded before can still be seen.
        """
        name = version_key(tenant_id, namespace)
        await self._redis.execute("SET", name, _new_version(), "EX", VERSION_TTL)

    async def _read(self, key: CacheKey) -> tuple[bytes, bytes]:
        version, stored = await self._redis.execute("MGET", key.version_key, key.redis_key)
        if version is None or len(version) != VERSION_BYTES:
            version = await self._first_version(key, damaged=version is not None)
        return version, stored or b""

    async def _first_version(self, key: CacheKey, *, damaged: bool) -> bytes:
        """Settle on a version before the load begins: of concurrent callers, the first sets it."""
        name, mine = key.version_key, _new_version()
        unless_set = () if damaged else ("NX",)
        _, settled = await asyncio.gather(
            self._redis.execute("SET", name, mine, "EX", VERSION_TTL, *unless_set),
            self._redis.execute("GET", name),
        )
        return settled or mine

    async def _load(self, key: CacheKey, loader: Callable[[], Awaitable[T]]) -> T:
        began = self._clock()
        value = await loader()
        _loads.record(self._clock() - began, {"namespace": key.namespace})
        return value

    async def _load_and_keep(
        self, key: CacheKey, loader: Callable[[], Awaitable[T]], codec: Codec[Any], version: bytes, ttl: float
    ) -> T:
        value = await self._load(key, loader)
        packed = codec.encode(version, value)
        try:
            await self._redis.execute("SET", key.redis_key, packed, "PX", max(1, round(ttl * 1000)))
        except RedisError:
            _unsaved.add(1, {"namespace": key.namespace})
        return value


def _new_version() -> bytes:
    return secrets.token_bytes(VERSION_BYTES)


def _count(key: CacheKey, outcome: str) -> None:
    _requests.add(1, {"namespace": key.namespace, "outcome": outcome})


def _outcome(stored: bytes, reason: Exception) -> str:
    if not stored:
        return "miss"
    return "stale" if isinstance(reason, Stale) else "foreign"
