"""How many may run at once: places held for the time of a block, freed by a crash after a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from sba_ratelimit.key import Key, check_names, stored_at
from sba_ratelimit.leases import Lease, Leases
from sba_ratelimit.limit import MICROSECONDS, OutagePolicy
from sba_ratelimit.outage import RETRY_OUTAGE, Complaint
from sba_ratelimit.shared import explain
from sba_resilience.errors import RedisCommandError, RedisError
from sba_resilience.redis import RedisClient
from sba_telemetry import tally

SHORTEST: Final = 0.1
LONGEST: Final = 86_400.0
_holds = tally("sba.ratelimit.holds", description="Holds by outcome: allowed, denied or outage.")
_allowed, _denied, _outage = (
    _holds.cell({"outcome": outcome}) for outcome in ("allowed", "denied", "outage")
)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `count` holders at once for one key.

    Attributes:
        count: Places.
        key: Whom it counts; as for `Limit`, the first two parts choose the hash slot.
        ttl: Seconds after which the place of a holder that crashed, or cannot reach Redis, is free again. A
            living holder renews it three times as often.
        name: Part of the key.
        on_outage: While Redis is away, let everyone in (`open`), no one (`closed`), or an equal share per
            node (`local`).

    Raises:
        ValueError: A number is out of range or the key is empty.
    """

    count: int
    key: Key
    ttl: float = 30.0
    name: str = "default"
    on_outage: OutagePolicy = "open"

    def __post_init__(self) -> None:
        check_names(self.name, self.key)
        if self.count < 1 or not SHORTEST <= self.ttl <= LONGEST or not self.name:
            raise ValueError("a name, at least one place, and a ttl of 0.1 s to a day")

    @property
    def redis_key(self) -> str:
        """Where the leases are kept."""
        return "sba:rlh:" + stored_at(self.name, self.key)


class Hold:
    """A place under every limit while the block lasts; made by `Limiter.hold`.

    Attributes:
        allowed: There was a place under every limit; if not, none was taken.
        full: The limits without a free place.
        retry_after: Seconds after which a place is free at the latest, should its holder be gone; 0 when
            allowed. Holders that are done free theirs sooner, those at work later.
        outage: Redis did not take part in it.
    """

    __slots__ = ("_lease", "_limits", "_places", "_taken_here", "allowed", "full", "outage", "retry_after")

    def __init__(self, places: Places, limits: Sequence[Concurrency]) -> None:
        self._places = places
        self._limits = limits
        self._lease: Lease | None = None
        self._taken_here: tuple[Concurrency, ...] = ()
        self.allowed = False
        self.full: tuple[Concurrency, ...] = ()
        self.retry_after = 0.0
        self.outage = False

    @property
    def lost(self) -> bool:
        """Whether someone else may have the place by now: Redis was away, or lost it, for too long."""
        return self._lease is not None and self._places.lost(self._lease)

    async def wait_lost(self) -> None:
        """Return once the place is lost; never, when it is kept."""
        await (self._lease or Lease((), ())).lost.wait()

    async def __aenter__(self) -> Hold:
        if self._lease is not None or self._taken_here or self.allowed:
            raise RuntimeError("a hold is entered once")
        if not self._limits:
            self.allowed = True
            return self
        lease = Lease(
            tuple(limit.redis_key for limit in self._limits), tuple(limit.ttl for limit in self._limits)
        )
        try:
            self._take(lease, await self._places.ask(lease, self._limits))
        except RedisError as error:
            self._places.complaint.about(error)
            self._do_without_redis()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._places.leave(self._taken_here)
        if self._lease is not None:
            await self._places.leases.release(self._lease)

    def _take(self, lease: Lease, reply: list[int]) -> None:
        self.allowed = reply[0] == 1
        if self.allowed:
            self._lease = lease
            _allowed.count += 1
            return
        waits = reply[1:]
        self.full = tuple(limit for limit, wait in zip(self._limits, waits, strict=True) if wait)
        self.retry_after = max(waits) / MICROSECONDS
        _denied.count += 1

    def _do_without_redis(self) -> None:
        _outage.count += 1
        self.outage = True
        counted = tuple(limit for limit in self._limits if limit.on_outage == "local")
        self.full = self._places.full(counted)
        self.allowed = not self.full and all(limit.on_outage != "closed" for limit in self._limits)
        if self.allowed:
            self._taken_here = counted
            self._places.enter(counted)
        else:
            self.retry_after = RETRY_OUTAGE


class Places:
    """What the holds of one limiter share.

    Args:
        redis: The guarded client.
        nodes: Processes sharing the limits.
        clock: Monotonic seconds.
    """

    __slots__ = ("_clock", "_nodes", "_taken_here", "complaint", "leases")

    def __init__(self, redis: RedisClient, *, nodes: int, clock: Callable[[], float]) -> None:
        self._nodes = nodes
        self._clock = clock
        self._taken_here: Counter[str] = Counter()
        self.leases = Leases(redis, clock)
        self.complaint = Complaint("concurrency script refused", clock)

    def hold(self, limits: Sequence[Concurrency]) -> Hold:
        """A hold that has not been asked for yet."""
        if len({limit.redis_key for limit in limits}) != len(limits):
            raise ValueError("limits held together need different names or keys")
        return Hold(self, limits)

    async def ask(self, lease: Lease, limits: Sequence[Concurrency]) -> list[int]:
        """Ask the server for places under all limits."""
        try:
            return await self.leases.take(lease, [limit.count for limit in limits])
        except RedisCommandError as error:
            explain(error, lease.keys, [limit.name for limit in limits])
            raise

    def lost(self, lease: Lease) -> bool:
        """Whether a lease that was taken may have ended by itself."""
        return lease.lost.is_set() or (not lease.ended and self._clock() >= lease.valid_until)

    def full(self, limits: Sequence[Concurrency]) -> tuple[Concurrency, ...]:
        """The limits whose share of this process is taken."""
        return tuple(
            limit
            for limit in limits
            if self._taken_here[limit.redis_key] >= max(1, limit.count // self._nodes)
        )

    def enter(self, limits: Sequence[Concurrency]) -> None:
        """Take a place of this process's share under each."""
        for limit in limits:
            self._taken_here[limit.redis_key] += 1

    def leave(self, limits: Sequence[Concurrency]) -> None:
        """Give them back."""
        for limit in limits:
            self._taken_here[limit.redis_key] -= 1
            if not self._taken_here[limit.redis_key]:
                del self._taken_here[limit.redis_key]
