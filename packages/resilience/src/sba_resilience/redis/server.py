"""One server: batching over one shared connection, hard time limits, a breaker that heals by itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from sba_resilience.breaker import Breaker, State
from sba_resilience.deadline import Deadline
from sba_resilience.errors import BreakerOpen, RedisUnavailable, WrongEventLoop
from sba_resilience.redis.background import ended, in_background
from sba_resilience.redis.clock import Sample, ServerClock
from sba_resilience.redis.dial import Dialer, Greeted
from sba_resilience.redis.forks import FORKED, tell_of_fork
from sba_resilience.redis.lane import Lane
from sba_resilience.redis.patience import answered, finished
from sba_resilience.redis.probe import Capabilities, ask
from sba_resilience.redis.script import Script
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.streams import ServerStreamReader, StreamReader
from sba_resilience.redis.unshared import check
from sba_resilience.redis.watch import KeyWatch, WatchBus, WatchLane
from sba_resilience.redis.words import Reply, Word, pack
from sba_telemetry import get_logger, tally

_log = get_logger(__name__)
_connections = tally("sba.redis.connections", description="Connections attempted, by outcome.")
_refused = tally("sba.redis.failures", description="Commands without a usable answer, by reason.").cell(
    {"reason": "breaker_open"}
)

PROBE_EVERY = 0.1  # seconds between probes while the server is away

AnyLane = TypeVar("AnyLane", bound=Lane)


class ServerClient:
    """Commands to one server over one shared connection; made by `open_redis`.

    Every command answers within `command_timeout`. When half of the last ten rounds have failed the
    breaker opens: commands fail at once while a background probe watches for the server. A round is
    whatever the server answered, or failed to answer, together: many callers are one failure.

    Commands of one event-loop turn are executed in the order they were issued.

    Args:
        settings: Where and how long.
        clock: Monotonic seconds.
        dialer: Finds the server and connects to it; by default at the URL's address.
        changed: Called after every change of the breaker's state, instead of showing it in metrics.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        dialer: Dialer | None = None,
        changed: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._dialer = dialer or Dialer(settings, clock=clock)
        self._breaker = Breaker(
            "redis",
            failures=0.5,
            window=10,
            minimum_calls=8,
            within=10.0,
            open_for=PROBE_EVERY,
            on_change=self._breaker_changed,
            shown=changed is None,
            clock=clock,
        )
        if changed is not None:
            self._breaker.listen(lambda _: changed())
        self._clock = ServerClock(clock)
        self._bus = WatchBus(
            self._watch_lane, self._clock, self._retire_lane, room=settings.max_connections > 1
        )
        self._found: Capabilities | None = None
        self._outcome = "ok"
        self._server_id: str | None = None
        self._lane: Lane | None = None
        self._lanes: set[Lane] = set()
        self._dialing: asyncio.Task[Lane] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._opening = 0
        self._slow_dial_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = self._forked = False
        tell_of_fork(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} {self.state}>"

    @property
    def address(self) -> str:
        """Host, port and database; no credentials."""
        return self._dialer.address

    @property
    def state(self) -> str:
        """The breaker's state: `closed`, `open` or `half_open`."""
        return self._breaker.state.value

    @property
    def server_id(self) -> str | None:
        """Which server process commands go to, as far as known: other after a restart or a failover."""
        return self._server_id

    @property
    def command_timeout(self) -> float:
        """Seconds within which every command answers."""
        return self._settings.command_timeout

    async def execute(self, *args: Word) -> Reply:
        """Run one command, as `RedisClient.execute` says."""
        check(args)
        return await self.run(args)

    def send(self, *args: Word) -> asyncio.Future[Reply]:
        """Send one command now, for several callers at once, as `RedisClient.send` says."""
        check(args)
        if self._lane is not None:
            return self._lane.send(pack(args))
        return in_background(self._run_limited(pack(args), None))

    def run(self, words: tuple[Word, ...], *, since: float | None = None) -> Awaitable[Reply]:
        """Run one command that is known to suit a shared connection, as `execute` does.

        Args:
            words: The command.
            since: When its time limit began, in seconds of the event loop; now by default.
        """
        lane = self._lane
        if lane is None or since is not None or self._is_short(Deadline.current()):
            return self._run_limited(pack(words), since)
        return lane.send(pack(words))

    async def ping(self) -> None:
        """See that the server answers.

        Raises:
            RedisUnavailable: It does not.
        """
        await self.run(("PING",))

    def script(self, text: str) -> Script:
        """A Lua script that is sent once and called by its hash."""
        return Script(self, text)

    def stream_reader(self, *, block: float = 2.0) -> StreamReader:
        """A reader of streams on a connection of its own.

        Args:
            block: Seconds one blocking read may last.
        """
        return ServerStreamReader(self, block=block)

    def watch(self, prefix: str, changed: Callable[[str], None]) -> KeyWatch:
        """Hear of every change to keys that begin with `prefix`; connects in the background.

        Args:
            prefix: What the keys begin with.
            changed: Called in the event loop with each key that anyone wrote or deleted, or that expired
                or was evicted; it must not block. The watch ends with the object whose method this is.
        """
        return self._bus.watch(prefix, changed)

    def server_time(self) -> float | None:
        """The server's unix seconds, or None until they are known; waits for nothing."""
        if self._lane is not None and self._clock.due():
            self._ask_time(self._lane)
        return self._clock.now()

    async def probe(self) -> Capabilities:
        """Find out which of the commands in use the server lacks or forbids; logged when it is news.

        Raises:
            RedisUnavailable: The server cannot answer now, or every connection is taken.
        """
        lane = await self.open_lane(timeout=self._settings.connect_timeout)
        try:
            found = await ask(lane)
        finally:
            lane.fail("closed")
        if found != self._found:
            self._found = found
            for lacked in found.missing:
                _log.warning(
                    "redis lacks a feature",
                    feature=lacked.feature,
                    commands=lacked.commands,
                    fallback=lacked.fallback,
                    server=found.server,
                )
        return found

    async def open_lane(self, *, timeout: float) -> Lane:  # noqa: ASYNC109 - a limit per reply, not of this call
        """A connection of the caller's own; one of `max_connections` is always left for commands.

        Raises:
            RedisUnavailable: The server cannot be reached, or every connection is taken.
        """
        return await self._own_lane(partial(Lane, owner=self, timeout=timeout))

    async def _watch_lane(self, **listeners: Any) -> WatchLane:  # noqa: ANN401 - the lane's own arguments
        return await self._own_lane(partial(WatchLane, owner=self, **listeners))

    async def _own_lane(self, make: Callable[[asyncio.StreamWriter], AnyLane]) -> AnyLane:
        taken = self._opening + len(self._lanes - {self._lane})
        if taken >= self._settings.max_connections - 1:
            raise RedisUnavailable("busy", f"{taken} connections besides the shared one")
        self._opening += 1
        try:
            return await self._greeted_lane(make)
        finally:
            self._opening -= 1

    def lane_answered(self, lane: Lane) -> None:
        """Count a round of replies on the shared connection for the breaker."""
        if lane is self._lane:
            self._breaker.record(ok=True)

    def lane_retired(self, lane: Lane) -> None:
        """Connect anew for the next command."""
        if lane is self._lane:
            self._lane = None

    def lane_lost(self, lane: Lane, *, failed: bool) -> None:
        """Forget a connection, counting a failure when replies were owed on the shared one."""
        self._lanes.discard(lane)
        if lane is self._lane:
            self._lane = None
            if failed and not self._closed:
                self._breaker.record(ok=False)

    async def aclose(self) -> None:
        """Close every connection; commands in flight fail with reason `closed`."""
        if self._forked:
            return
        self._closed = True
        await self._bus.aclose()
        await ended(self._dialing, self._recovery)
        for lane in tuple(self._lanes):
            lane.fail("closed")
        await asyncio.sleep(0)  # lets the event loop close the sockets

    def forked(self) -> None:
        """Leave every connection to the parent process, and refuse to be used in this one."""
        self._closed = self._forked = True
        self._lane = None
        self._bus.forked()
        for lane in self._lanes:
            lane.forked()

    async def warm_up(self) -> None:
        """Connect ahead of the first command; a server that is away is no error."""
        with contextlib.suppress(RedisUnavailable):
            await asyncio.shield(self._dial())

    def _is_short(self, deadline: Deadline | None) -> bool:
        return deadline is not None and deadline.remaining() <= self._settings.command_timeout

    async def _run_limited(self, packed: bytes, since: float | None, *, ahead: bytes | None = None) -> Reply:
        """Run a command whose time limit is not simply its connection's."""
        began = asyncio.get_running_loop().time() if since is None else since
        until, deadline = began + self._settings.command_timeout, Deadline.current()
        async with contextlib.nullcontext() if deadline is None else deadline.bound():
            lane = self._lane or await self._connected(until)
            if deadline is not None:
                deadline.check()
            if ahead is not None:
                lane.send(ahead).add_done_callback(asyncio.Future.exception)
            return await answered(lane.send(packed), until)

    async def _connected(self, until: float) -> Lane:
        self._check_open()
        if self._breaker.state is not State.CLOSED:
            _refused.count += 1
            raise RedisUnavailable("breaker_open")
        dialing = self._dial()
        if not await finished(dialing, until, grace=self._settings.command_timeout):
            self._count_slow_dial()
            raise RedisUnavailable("timeout", "still connecting")
        try:
            lane = dialing.result()
        except RedisUnavailable as error:
            raise RedisUnavailable(error.reason, self.address) from error
        except asyncio.CancelledError:
            raise RedisUnavailable("closed") from None
        if lane.closed:
            raise RedisUnavailable("lost")
        return lane

    def _count_slow_dial(self) -> None:
        """One failure per time limit, however many callers were waiting."""
        now = asyncio.get_running_loop().time()
        if now - self._slow_dial_at >= self._settings.command_timeout:
            self._slow_dial_at = now
            self._breaker.record(ok=False)

    def _check_open(self, writer: asyncio.StreamWriter | None = None) -> None:
        if self._closed:
            if writer is not None:
                writer.transport.abort()
            raise RedisUnavailable("closed", FORKED if self._forked else "")
        loop = asyncio.get_running_loop()
        if (self._loop or loop) is not loop:
            raise WrongEventLoop
        self._loop = loop

    def _retire_lane(self) -> None:
        if self._lane is not None:
            self._lane.retire()

    def _ask_time(self, lane: Lane) -> None:
        """Learn the server's time from the answer to a command nobody waits for."""
        sent = self._clock.clock()

        def learn(asked: asyncio.Future[Reply]) -> None:
            if not asked.cancelled() and asked.exception() is None:
                self._clock.learn(Sample.of(asked.result(), sent, self._clock.clock()))

        lane.send(pack(("TIME",))).add_done_callback(learn)

    def _dial(self) -> asyncio.Task[Lane]:
        if self._dialing is None or self._dialing.done():
            self._dialing = in_background(self._new_shared_lane())
        return self._dialing

    async def _greeted_lane(self, make: Callable[[asyncio.StreamWriter], AnyLane]) -> AnyLane:
        self._check_open()
        greeted = await self._dial_and_tell()
        self._check_open(greeted.writer)
        lane = make(greeted.writer)
        lane.server = greeted.server
        self._lanes.add(lane)
        self._clock.learn(greeted.time)
        return lane

    async def _dial_and_tell(self) -> Greeted:
        try:
            greeted = await self._dialer.dial()
        except RedisUnavailable as error:
            self._tell(error.reason)
            raise
        self._tell("ok")
        return greeted

    def _tell(self, outcome: str) -> None:
        """Count an attempt to connect, and log it when it ended otherwise than the one before."""
        _connections.cell({"outcome": outcome}).count += 1
        if outcome != self._outcome:
            self._outcome = outcome
            _log.warning("redis connection", outcome=outcome, address=self.address)

    async def _new_shared_lane(self) -> Lane:
        try:
            permit = self._breaker.allow()
        except BreakerOpen:
            raise RedisUnavailable("breaker_open") from None
        try:
            lane = await self._greeted_lane(partial(Lane, owner=self, timeout=self._settings.command_timeout))
        except RedisUnavailable:
            self._breaker.record(permit, ok=False)
            raise
        self._lane = lane
        self._server_id = lane.server
        self._bus.commands_go_to(lane.server)
        if self._breaker.state is not State.CLOSED:
            self._breaker.reset()
        return lane

    def _breaker_changed(self, breaker: Breaker) -> None:
        if breaker.state is not State.OPEN or self._closed:
            return
        if self._lane is not None:
            self._lane.fail("breaker_open")
        if self._recovery is None or self._recovery.done():
            self._recovery = in_background(self._recover())

    async def _recover(self) -> None:
        while self._breaker.state is not State.CLOSED:
            await asyncio.sleep(max(self._breaker.retry_after, PROBE_EVERY / 10))
            with contextlib.suppress(RedisUnavailable):
                await asyncio.shield(self._dial())
