"""What may be served when, and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass

from sba_cache.zstd import INSTALLED


@dataclass(frozen=True, slots=True)
class Compress:
    """Store large values compressed; needs the extra `zstd`, for writing and for reading.

    Attributes:
        threshold: Bytes from which on a value is compressed.
        level: Of zstd, 1 to 19.
    """

    threshold: int = 1024
    level: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.level <= 19 or self.threshold < 0:  # noqa: PLR2004 - zstd's own range
            raise ValueError("level is from 1 to 19 and threshold at least 0")
        if not INSTALLED:
            raise ModuleNotFoundError("install sba-cache[zstd] to compress", name="zstandard")


@dataclass(frozen=True, slots=True)
class Policy:
    """How a value may be served beyond its time, and how long a loader may take.

    Nothing here ever brings back a value that was invalidated.

    Attributes:
        stale: Seconds past its ttl in which a value is served at once while one refresh runs behind it.
        fail_safe: Seconds past its ttl in which a value may stand in for a load that fails.
        soft_timeout: Seconds a load may take before such a value stands in for it; the load goes on.
        hold: Seconds for which a value that stood in is served before the load is tried again.
        hard_timeout: Seconds after which a load is cancelled, and fails with `LoadTimeout`; None is never:
            then a loader that hangs keeps its key from being loaded for as long as it hangs.
        negative_ttl: Seconds to keep the answer None; by default its ttl, 5 at most.
        jitter: Share by which a ttl is lengthened or shortened at random, so that expiries spread.
        early: Eagerness to refresh before the ttl ends, in load times; 0 is never. Near the end one
            reader at a random moment refreshes in the background (XFetch).
        compress: When to compress; None is never.
    """

    stale: float = 0.0
    fail_safe: float = 0.0
    soft_timeout: float | None = None
    hold: float = 1.0
    hard_timeout: float | None = 30.0
    negative_ttl: float | None = None
    jitter: float = 0.1
    early: float = 1.0
    compress: Compress | None = None

    def __post_init__(self) -> None:
        if min(self.stale, self.fail_safe, self.early, self.hold) < 0 or not 0 <= self.jitter < 1:
            raise ValueError("stale, fail_safe, early and hold are at least 0, jitter is from 0 to below 1")
        limits = (self.soft_timeout, self.hard_timeout, self.negative_ttl)
        if any(limit is not None and limit <= 0 for limit in limits):
            raise ValueError("soft_timeout, hard_timeout and negative_ttl are above 0 or None")

    @property
    def beyond(self) -> float:
        """Seconds past its ttl for which a value may be of use."""
        return max(self.stale, self.fail_safe)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Bounds of one cache in one process.

    Attributes:
        l1_bytes: Bytes that keys and values kept in the process may take, objects that callers share
            included; 0 turns this level off.
        l1_entries: Values kept in the process.
        largest: Bytes a stored value may have, compressed if it is; a larger one is the answer all the
            same, but not kept in Redis, and counted as `unsaved`.
        window: Seconds for which a value read from Redis is believed without hearing of changes: how
            stale a read may be when Redis has no client tracking.
        lease: Seconds after which the load of a process that died is taken over.
        outage_loads: Loads at once while Redis is away.
        outage_queue: Loads that wait for a place meanwhile; the next fails with `BulkheadFull`.
        version_ttl: Seconds a version is kept after its last use; longer when a value's ttl is.
    """

    l1_bytes: int = 32 * 1024 * 1024
    l1_entries: int = 10_000
    largest: int = 1024 * 1024
    window: float = 1.0
    lease: float = 2.0
    outage_loads: int = 16
    outage_queue: int = 1000
    version_ttl: float = 7 * 86400.0

    def __post_init__(self) -> None:
        if min(self.l1_bytes, self.l1_entries, self.largest) < 0:
            raise ValueError("l1_bytes, l1_entries and largest are at least 0")
        if min(self.window, self.lease, self.version_ttl) <= 0:
            raise ValueError("window, lease and version_ttl are above 0")
        if self.outage_loads < 1 or self.outage_queue < 0:
            raise ValueError("outage_loads is at least 1 and outage_queue at least 0")
