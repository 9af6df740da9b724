"""One server: batching over one shared connection, hard time limits, a breaker that heals by itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

from sba_resilience.breaker import Breaker, State
from sba_resilience.deadline import Deadline
from sba_resilience.errors import BreakerOpen, RedisUnavailable
from sba_resilience.redis.dial import Dialer
from sba_resilience.redis.lane import LATE, Lane
from sba_resilience.redis.script import Script
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.streams import StreamReader
from sba_resilience.redis.words import Reply, Word, pack

PROBE_EVERY = 0.1  # seconds between probes while the server is away


class ServerClient:
    """Commands to one server over one shared connection; made by `open_redis`.

    Every command answers within `command_timeout`. When half of the last ten rounds have failed the
    breaker opens: commands fail at once while a background probe watches for the server. A round is
    whatever the server answered, or failed to answer, together: many callers are one failure.

    Commands of one event-loop turn are executed in the order they were issued.
    """

    def __init__(self, settings: RedisSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._dialer = Dialer(settings)
        self._breaker = Breaker(
            "redis",
            failures=0.5,
            window=10,
            minimum_calls=8,
            within=10.0,
            open_for=PROBE_EVERY,
            on_change=self._breaker_changed,
            clock=clock,
        )
        self._lane: Lane | None = None
        self._lanes: set[Lane] = set()
        self._dialing: asyncio.Task[Lane] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._opening = 0
        self._slow_dial_at = 0.0
        self._closed = False

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

    async def execute(self, *args: Word) -> Reply:
        """Run one command.

        Args:
            *args: Its words; text is sent as UTF-8.

        Returns:
            The RESP2 reply: bytes, int, None or a list of these.

        Raises:
            RedisUnavailable: No usable answer within the time limit; the command may have run.
            RedisCommandError: The server refused the command.
            DeadlineExceeded: The current deadline passed first.
        """
        packed = pack(args)
        lane = self._lane or await self._connected()
        reply = lane.send(packed)
        deadline = Deadline.current()
        if deadline is None or deadline.remaining() > self._settings.command_timeout:
            return await reply
        async with deadline.bound():
            return await reply

    async def ping(self) -> None:
        """See that the server answers.

        Raises:
            RedisUnavailable: It does not.
        """
        await self.execute("PING")

    def script(self, text: str) -> Script:
        """A Lua script that is sent once and called by its hash."""
        return Script(self, text)

    def stream_reader(self, *, block: float = 2.0) -> StreamReader:
        """A reader of streams on a connection of its own.

        Args:
            block: Seconds one blocking read may last.
        """
        return StreamReader(self, block=block)

    async def open_lane(self, *, timeout: float) -> Lane:  # noqa: ASYNC109 - a limit per reply, not of this call
        """A connection of the caller's own; one of `max_connections` is always left for commands.

        Raises:
            RedisUnavailable: The server cannot be reached, or every connection is taken.
        """
        taken = self._opening + len(self._lanes - {self._lane})
        if taken >= self._settings.max_connections - 1:
            raise RedisUnavailable("busy", f"{taken} connections besides the shared one")
        self._opening += 1
        try:
            return await self._greeted_lane(timeout)
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
        self._closed = True
        tasks = [task for task in (self._dialing, self._recovery) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lane in tuple(self._lanes):
            lane.fail("closed")
        await asyncio.sleep(0)  # lets the event loop close the sockets

    async def warm_up(self) -> None:
        """Connect ahead of the first command; a server that is away is no error."""
        with contextlib.suppress(RedisUnavailable):
            await asyncio.shield(self._dial())

    async def _connected(self) -> Lane:
        self._check_open()
        if self._breaker.state is not State.CLOSED:
            raise RedisUnavailable("breaker_open")
        dialing = self._dial()
        if not await _finished(dialing, self._settings.command_timeout):
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
        if not self._closed:
            return
        if writer is not None:
            writer.transport.abort()
        raise RedisUnavailable("closed")

    def _dial(self) -> asyncio.Task[Lane]:
        if self._dialing is None or self._dialing.done():
            self._dialing = _background(self._new_shared_lane())
        return self._dialing

    async def _greeted_lane(self, reply_within: float) -> Lane:
        self._check_open()
        writer = await self._dialer.dial()
        self._check_open(writer)
        lane = Lane(writer, self, timeout=reply_within)
        self._lanes.add(lane)
        return lane

    async def _new_shared_lane(self) -> Lane:
        try:
            permit = self._breaker.allow()
        except BreakerOpen:
            raise RedisUnavailable("breaker_open") from None
        try:
            lane = await self._greeted_lane(self._settings.command_timeout)
        except RedisUnavailable:
            self._breaker.record(permit, ok=False)
            raise
        self._lane = lane
        if self._breaker.state is not State.CLOSED:
            self._breaker.reset()
        return lane

    def _breaker_changed(self, breaker: Breaker) -> None:
        if breaker.state is not State.OPEN or self._closed:
            return
        if self._lane is not None:
            self._lane.fail("breaker_open")
        if self._recovery is None or self._recovery.done():
            self._recovery = _background(self._recover())

    async def _recover(self) -> None:
        while self._breaker.state is not State.CLOSED:
            await asyncio.sleep(max(self._breaker.retry_after, PROBE_EVERY / 10))
            with contextlib.suppress(RedisUnavailable):
                await asyncio.shield(self._dial())


def _background(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    with Deadline.detached():
        task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def _finished(task: asyncio.Task[Any], timeout: float) -> bool:  # noqa: ASYNC109 - extended after a stall
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    done, _ = await asyncio.wait({task}, timeout=timeout)
    if not done and loop.time() - deadline > LATE:
        done, _ = await asyncio.wait({task}, timeout=timeout)
    return bool(done)
