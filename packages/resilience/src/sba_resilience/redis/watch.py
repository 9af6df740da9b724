"""Hear of every change to keys with a prefix, and know how long silence means that there was none."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import hiredis

from sba_resilience.deadline import Deadline
from sba_resilience.errors import RedisCommandError, RedisUnavailable
from sba_resilience.redis.background import ended
from sba_resilience.redis.clock import Sample, ServerClock
from sba_resilience.redis.lane import Lane
from sba_resilience.redis.listener import Listener, listener
from sba_resilience.redis.words import Reply, pack
from sba_telemetry import get_logger, tally

if TYPE_CHECKING:
    from sba_resilience.redis.lane import Owner

BEAT_EVERY = 0.3  # seconds between heartbeats
LIVE_FOR = 1.0  # seconds after a heartbeat was sent in which silence counts
BACKOFF_BASE = 0.05
BACKOFF_CAP = 1.0
ASK_AGAIN = 30.0  # seconds until a server without client tracking is asked once more
HELLO = pack(("HELLO", 3))
TIME = pack(("TIME",))
REPLICA = frozenset({b"replica", b"slave"})
TRACKING_OFF = pack(("CLIENT", "TRACKING", "OFF"))

_log = get_logger(__name__)
_changes = tally("sba.redis.watch.changes", description="Changes of watched keys heard of.").cell()
_gaps = tally("sba.redis.watch.gaps", description="Times a change of a watched key may have been missed.")


class Bus(Protocol):
    """What serves watches."""

    @property
    def clock(self) -> Callable[[], float]:
        """Monotonic seconds."""

    def forget(self, watch: KeyWatch) -> None:
        """End one watch."""

    def refusal(self, watch: KeyWatch) -> str | None:
        """Why a watch will not become live, if so."""


class KeyWatch:
    """Tells of every change to keys with one prefix; made by `RedisClient.watch`, which it belongs to.

    What was read while `epoch` was the same as now, and `clock() < live_until`, is unchanged unless
    `changed` was called for it since: take `epoch` before sending the read.

    A `changed` that is a method of an object does not keep it alive: the watch is closed when the object
    is gone. Functions are kept, and so are objects that cannot be referred to weakly (`__slots__` without
    `__weakref__`).

    Attributes:
        prefix: What the keys begin with.
        epoch: Grows each time a change may have been missed.
        live_until: Up to this time by `clock` silence means that nothing changed; -inf while not connected.
        clock: Monotonic seconds.
    """

    __slots__ = ("_bus", "_changed", "_news", "clock", "epoch", "live_until", "prefix")

    def __init__(self, bus: Bus, prefix: str, changed: Listener) -> None:
        self._bus = bus
        self._changed = listener(changed, self.close)
        self._news = asyncio.Event()
        self.clock = bus.clock
        self.prefix = prefix
        self.epoch = 0
        self.live_until = -math.inf

    def close(self) -> None:
        """Hear of nothing more."""
        self._bus.forget(self)
        self.missed("closed")

    async def ready(self) -> None:
        """Wait until silence means something.

        Raises:
            RedisUnavailable: It will not: `unsupported` by the server, `busy` when
                `max_connections` is 1, or `closed`.
        """
        while self.live_until == -math.inf:
            if reason := self._bus.refusal(self):
                raise RedisUnavailable(reason)
            await self._news.wait()

    def tell(self, key: str) -> None:
        """Pass a change on; a listener that fails has missed it."""
        changed = self._changed()
        if changed is None:
            return
        try:
            changed(key)
        except Exception as error:  # noqa: BLE001 - the listener's errors are its own
            _log.warning("key watch listener failed", prefix=self.prefix, error=type(error).__name__)
            self.missed("listener", connected=True)

    def alive(self, until: float) -> None:
        """Count silence up to `until`; what happened before the first heartbeat is unknown."""
        if self.live_until == -math.inf:
            self.epoch += 1
            self.live_until = until
            self.announce()
        self.live_until = until

    def missed(self, why: str, *, connected: bool = False) -> None:
        """A change may have been missed."""
        self.epoch += 1
        _gaps.cell({"why": why}).count += 1
        if not connected:
            self.live_until = -math.inf
            self.announce()

    def distrust(self) -> None:
        """Be dead in a forked child, whose copy of what waits here must not be woken."""
        self.epoch += 1
        self.live_until = -math.inf

    def announce(self) -> None:
        """Let those who wait in `ready` look again."""
        news, self._news = self._news, asyncio.Event()
        news.set()


class WatchLane(Lane):
    """A connection on which the server also speaks unasked.

    Args:
        writer: A greeted connection.
        owner: As every lane's.
        timeout: Seconds until an unanswered heartbeat ends the lane.
        pushed: Called with what the server says unasked.
        ended: Called once, when the lane has ended.
    """

    __slots__ = ("_ended", "_pushed", "prefixes")

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        owner: Owner,
        *,
        timeout: float,
        pushed: Callable[[Reply], None],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(writer, owner, timeout=timeout)
        self._pushed = pushed
        self._ended = ended
        self.prefixes: set[str] = set()

    def fail(self, reason: str) -> None:
        """Drop the connection, and say so once."""
        was_closed = self.closed
        super().fail(reason)
        if not was_closed:
            self._ended()

    def _settle(self, reply: Reply) -> None:
        if isinstance(reply, hiredis.PushNotification):
            self._pushed(reply)
        else:
            super()._settle(reply)


class Dial(Protocol):
    """Opens the connection of a bus."""

    def __call__(
        self, *, timeout: float, pushed: Callable[[Reply], None], ended: Callable[[], None]
    ) -> Awaitable[WatchLane]:
        """A greeted lane.

        Raises:
            RedisUnavailable: The server cannot be reached.
        """


class WatchBus:
    """One RESP3 connection with server-assisted tracking, shared by all watches of a client.

    Args:
        dial: Opens the connection.
        clock: The server's time, learnt from heartbeats; its own clock is the watches'.
        astray: Called when the connection for commands seems to lead to another server than this one.
        room: Whether the client may ever have a connection for it.
    """

    def __init__(
        self, dial: Dial, clock: ServerClock, astray: Callable[[], None], *, room: bool = True
    ) -> None:
        self._dial = dial
        self._time = clock
        self._astray = astray
        self._watches: list[KeyWatch] = []
        self._lane: WatchLane | None = None
        self._shared: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._attempts = 0
        self._refusal = None if room else "busy"
        self._closed = False
        self.clock = clock.clock

    def watch(self, prefix: str, changed: Listener) -> KeyWatch:
        """Begin to watch; connects in the background when nothing was watched before."""
        made = KeyWatch(self, prefix, changed)
        self.join(made)
        return made

    def join(self, watch: KeyWatch) -> None:
        """Serve a watch that was made for this bus."""
        if self._closed:
            return
        self._watches.append(watch)
        self._woken.set()
        if self._task is None and self._refusal != "busy":
            with Deadline.detached():
                self._task = asyncio.get_running_loop().create_task(self._run())

    def forget(self, watch: KeyWatch) -> None:
        """End one watch; the connection ends with the last."""
        with contextlib.suppress(ValueError):
            self._watches.remove(watch)
        if not self._watches and self._lane is not None:
            self._lane.fail("closed")

    def refusal(self, watch: KeyWatch) -> str | None:
        """Why a watch will not become live, if so."""
        if watch not in self._watches:
            return "closed"
        return self._refusal

    def commands_go_to(self, server: str | None) -> None:
        """Learn which server a new connection for commands leads to; None is one that does not say."""
        self._shared = server
        if self._lane is not None and (server is None or self._lane.server != server):
            self._lane.fail("replaced")
        self._woken.set()

    async def aclose(self) -> None:
        """End every watch."""
        self._closed = True
        watches, self._watches = self._watches, []
        await ended(self._task)
        for watch in watches:
            watch.close()

    def forked(self) -> None:
        """Trust nothing any more: this is a child's copy."""
        self._closed = True
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.distrust()

    async def _run(self) -> None:
        while True:
            if not self._watches:
                await self._pause(math.inf)
                continue
            try:
                await self._serve()
            except RedisCommandError as error:
                self._refused(error)
                await self._pause_while_unsupported()
            except RedisUnavailable as error:
                _log.debug("key watch connection ended", reason=error.reason)
                await asyncio.sleep(_backoff(self._attempts))
                self._attempts += 1

    async def _serve(self) -> None:
        lane = await self._dial(timeout=LIVE_FOR, pushed=self._pushed, ended=self._lost)
        try:
            self._same_server(lane)
            self._lane = lane
            while self._watches:
                await self._beat(lane)
                self._refusal = None
                self._attempts = 0
                await self._pause(BEAT_EVERY)
        finally:
            lane.fail("closed")

    def _same_server(self, lane: WatchLane) -> None:
        shared, self._shared = self._shared, lane.server
        if shared is not None and lane.server not in (None, shared):
            self._astray()

    async def _beat(self, lane: WatchLane) -> None:
        if lane.closed:
            raise RedisUnavailable("lost")
        asked = tuple(self._watches)
        sent = self.clock()
        sending = [lane.send(packed) for packed in (HELLO, *self._wanted(lane), TIME)]
        *needed, time = await asyncio.gather(*sending, return_exceptions=True)
        greeting, *_ = map(_result, needed)
        if not isinstance(greeting, dict):
            raise RedisCommandError("NOPROTO", "not RESP3")
        if greeting.get(b"role") in REPLICA:
            raise RedisUnavailable("not_ready", "a replica")
        self._time.learn(Sample.of(time, sent, self.clock()))
        for watch in asked:
            if watch in self._watches:
                watch.alive(sent + LIVE_FOR)

    def _wanted(self, lane: WatchLane) -> Iterable[bytes]:
        """Commands that make the server track what is watched; prefixes on one connection may not overlap."""
        cover = _cover(watch.prefix for watch in self._watches)
        missing = [prefix for prefix in cover if not prefix.startswith(tuple(lane.prefixes))]
        if any(tracked.startswith(tuple(missing)) for tracked in lane.prefixes):
            lane.prefixes.clear()
            for watch in self._watches:
                watch.missed("tracked_anew")
            yield TRACKING_OFF
            missing = cover
        if missing:
            lane.prefixes.update(missing)
            words = (word for prefix in missing for word in ("PREFIX", prefix))
            yield pack(("CLIENT", "TRACKING", "ON", "BCAST", *words))

    def _pushed(self, message: Reply) -> None:
        kind, *rest = message
        if kind != b"invalidate":
            return
        if rest[0] is None:
            for watch in tuple(self._watches):
                watch.missed("flushed", connected=True)
            return
        _changes.count += len(rest[0])
        for raw in rest[0]:
            key = str(raw, "utf-8", "surrogateescape")
            for watch in tuple(self._watches):
                if key.startswith(watch.prefix):
                    watch.tell(key)

    def _lost(self) -> None:
        self._lane = None
        self._woken.set()
        for watch in tuple(self._watches):
            if watch.live_until != -math.inf:
                watch.missed("lost")

    def _refused(self, error: RedisCommandError) -> None:
        if self._refusal is None:
            _log.warning("the server has no client tracking for us; keys are not watched", code=error.code)
        self._refusal = "unsupported"
        for watch in self._watches:
            watch.announce()

    async def _pause_while_unsupported(self) -> None:
        refused_by, until = self._shared, self.clock() + ASK_AGAIN
        while self._shared == refused_by and (left := until - self.clock()) > 0:
            await self._pause(left)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds < math.inf else None):
                await self._woken.wait()
        self._woken.clear()


def _result(reply: Reply) -> Reply:
    if isinstance(reply, BaseException):
        raise reply
    return reply


def _cover(prefixes: Iterable[str]) -> list[str]:
    """The fewest prefixes that match whatever one of the given ones matches."""
    cover: list[str] = []
    for prefix in sorted(prefixes):
        if not cover or not prefix.startswith(cover[-1]):
            cover.append(prefix)
    return cover


def _backoff(attempts: int) -> float:
    longest: float = min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(attempts, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
