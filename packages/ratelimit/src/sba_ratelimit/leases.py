"""Leases on the server that are renewed while they are held, all by one task."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from sba_ratelimit.limit import MICROSECONDS
from sba_ratelimit.shared import load
from sba_resilience.deadline import Deadline
from sba_resilience.errors import RedisError, RedisUnavailable
from sba_resilience.redis import RedisClient
from sba_telemetry import tally

RENEWALS = 3  # times a lease is renewed before it would end
AGAIN = 0.5  # seconds at most until a server that did not answer is asked again
UNANSWERED = frozenset({"timeout", "lost"})  # reasons for which a request may have been done
TOGETHER = 0.02  # seconds: leases due within share a round trip
_lost = tally("sba.ratelimit.leases_lost", description="Leases that ended while they were held.").cell()


@dataclass(slots=True, eq=False)
class Lease:
    """Places under some keys until `valid_until`, for whoever knows its secret.

    Attributes:
        keys: Redis keys.
        ttls: Seconds the server keeps it under each key after it was last heard of.
        valid_until: Clock seconds up to which no other can have its places; -inf before it is granted.
        gone_by: Clock seconds by which the server has surely ended it.
        ended: It is not held any more, or not known to be.
        lost: Set when it ended without being released.
    """

    keys: tuple[str, ...]
    ttls: tuple[float, ...]
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    valid_until: float = -math.inf
    gone_by: float = 0.0
    ended: bool = False
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ttl(self) -> float:
        """Seconds until the first of its places would be free."""
        return min(self.ttls)


class Leases:
    """Takes, renews and releases leases; what could not be released is tried again until it has ended.

    Args:
        redis: The guarded client.
        clock: Monotonic seconds.
    """

    __slots__ = ("_acquire", "_clock", "_due", "_open", "_order", "_release", "_renew", "_task", "_woken")

    def __init__(self, redis: RedisClient, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._acquire = load(redis, "acquire.lua")
        self._renew = load(redis, "renew.lua")
        self._release = load(redis, "release.lua")
        self._due: list[tuple[float, int, Lease]] = []
        self._open: set[Lease] = set()
        self._order = count()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def take(self, lease: Lease, places: Sequence[int]) -> list[int]:
        """Ask for it.

        Returns:
            Whether it was taken, then per key microseconds until a place could be free.

        Raises:
            RedisError: If it may have been taken, it is released once the server can be asked.
        """
        words: list[str | int] = [lease.secret]
        for free, ttl in zip(places, lease.ttls, strict=True):
            words += (free, int(ttl * MICROSECONDS))
        sent = self._sent(lease)
        try:
            reply: list[int] = await self._acquire(lease.keys, words)
        except BaseException as error:
            lease.ended = True
            if _may_have_run(error):
                self._open.add(lease)
                self._schedule(lease, 0.0)
            raise
        if reply[0]:
            lease.valid_until = sent + lease.ttl
            self._open.add(lease)
            self._schedule(lease, lease.ttl / RENEWALS)
        return reply

    async def release(self, lease: Lease) -> None:
        """Give it up; when the server is away, as soon as it is back."""
        if lease.ended:
            return
        lease.ended = True
        try:
            with Deadline.detached():
                await self._release(lease.keys, [lease.secret])
        except RedisError:
            self._schedule(lease, _soon(lease))
        else:
            self._close(lease)

    def _sent(self, lease: Lease) -> float:
        now = self._clock()
        lease.gone_by = now + max(lease.ttls)
        return now

    def _close(self, lease: Lease) -> None:
        self._open.discard(lease)
        if not self._open:
            self._woken.set()

    def _schedule(self, lease: Lease, seconds: float) -> None:
        entry = (self._clock() + seconds, next(self._order), lease)
        heapq.heappush(self._due, entry)
        if self._due[0] is entry:
            self._woken.set()
        if self._task is None or self._task.done():
            with Deadline.detached():
                self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._open:
            self._woken.clear()
            if due := self._take_due():
                await asyncio.gather(*(self._tend(lease) for lease in due))
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._due[0][0] - self._clock()):
                    await self._woken.wait()
        self._due.clear()

    def _take_due(self) -> list[Lease]:
        now, due = self._clock() + TOGETHER, []
        while self._due and (self._due[0][0] <= now or self._due[0][2] not in self._open):
            lease = heapq.heappop(self._due)[2]
            if lease in self._open:
                due.append(lease)
        return due

    async def _tend(self, lease: Lease) -> None:
        try:
            if lease.ended:
                await self._give_up(lease)
            else:
                await self._prolong(lease)
        except RedisError:
            self._try_again(lease)

    async def _give_up(self, lease: Lease) -> None:
        """A lease that was asked for without an answer may yet be granted to a request on its way."""
        removed = await self._release(lease.keys, [lease.secret])
        if removed or lease.valid_until > -math.inf or self._clock() >= lease.gone_by:
            self._close(lease)
        else:
            self._schedule(lease, lease.ttl / RENEWALS)

    async def _prolong(self, lease: Lease) -> None:
        sent = self._sent(lease)
        ttls = [int(ttl * MICROSECONDS) for ttl in lease.ttls]
        held = await self._renew(lease.keys, [lease.secret, *ttls])
        if held:
            lease.valid_until = sent + lease.ttl
            self._schedule(lease, lease.ttl / RENEWALS)
        else:
            self._lose(lease)
            self._close(lease)

    def _lose(self, lease: Lease) -> None:
        if not lease.ended:
            lease.ended = True
            lease.lost.set()
            _lost.count += 1

    def _try_again(self, lease: Lease) -> None:
        now = self._clock()
        if now >= lease.valid_until:
            self._lose(lease)
        if lease.ended and now >= lease.gone_by:
            self._close(lease)
            return
        soon = _soon(lease)
        self._schedule(lease, soon if lease.ended else min(soon, lease.valid_until - now))


def _may_have_run(error: BaseException) -> bool:
    """Whether a request that ended so can have reached the server and been done."""
    if isinstance(error, RedisUnavailable):
        return error.reason in UNANSWERED
    return not isinstance(error, RedisError)


def _soon(lease: Lease) -> float:
    """Seconds until a server that did not answer is asked again."""
    return min(AGAIN, lease.ttl / RENEWALS / 3)
