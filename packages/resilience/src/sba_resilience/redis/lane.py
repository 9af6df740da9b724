"""One connection shared by everyone: commands go out together, replies come back in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

import hiredis

from sba_resilience.errors import RedisCommandError, RedisUnavailable, WrongEventLoop
from sba_resilience.redis.forks import lead_nowhere
from sba_resilience.redis.words import Reply
from sba_telemetry import tally

LATE = 0.005  # seconds a timer may be late before the event loop counts as stalled
DRAIN = 0.001  # seconds in which the loop reads what has already arrived
GRACE = 0.01  # seconds for a round trip after a stall: the command may have left only now
LINGER = 0.008  # seconds past its limit for which a slice may go on being answered
INBOX = 64 * 1024  # bytes taken from the socket at once
SLICE = 16  # commands a write takes: the server works on one slice while the next is put together
NOT_READY = frozenset(
    {"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "OOM", "MISCONF", "NOREPLICAS", "READONLY"}
)
_INCOMPLETE = object()

_commands = tally("sba.redis.commands", description="Commands sent.").cell()
_writes = tally("sba.redis.writes", description="Writes; commands per write are the batch.").cell()
_failures = tally("sba.redis.failures", description="Commands without a usable answer, by reason.")


class Owner(Protocol):
    """Who is told how a lane fares."""

    def lane_answered(self, lane: Lane) -> None:
        """Replies arrived."""

    def lane_retired(self, lane: Lane) -> None:
        """The lane leads to a server that has become a replica: send nothing more on it."""

    def lane_lost(self, lane: Lane, *, failed: bool) -> None:
        """The lane takes no more commands; `failed` when the server owed it replies."""


class Lane(asyncio.BufferedProtocol):
    """A connection whose replies are matched to callers by order alone.

    The first command after a quiet turn is written at once; while several callers are at work, the
    commands of one event-loop turn leave in slices, so that the server works on one while the next is
    put together. A caller that goes away leaves its place in the order behind, so nobody else ever sees
    its reply. When the oldest slice is overdue and no reply comes, or replies go on coming too slowly, the
    connection is dropped and everyone waiting on it is told.

    Args:
        writer: A greeted connection; the lane owns it from here.
        owner: Told about replies and the end.
        timeout: Seconds from a write until a command of it that is not answered ends the lane.

    Attributes:
        closed: Takes no more commands.
        server: Which server it leads to, when known.
    """

    __slots__ = (
        "_alone",
        "_buffer",
        "_flushing",
        "_full",
        "_inbox",
        "_issued",
        "_limits",
        "_loop",
        "_owner",
        "_reader",
        "_retiring",
        "_timeout",
        "_timer",
        "_transport",
        "_waiting",
        "_writer",
        "closed",
        "server",
    )

    def __init__(self, writer: asyncio.StreamWriter, owner: Owner, *, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer  # which would close the connection when nobody holds it any more
        self._transport = writer.transport
        self._owner = owner
        self._timeout = timeout
        self._inbox = memoryview(bytearray(INBOX))
        self._reader = hiredis.Reader(replyError=self._error, notEnoughData=_INCOMPLETE)
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._issued = 0
        self._limits: deque[tuple[int, float]] = deque()  # issued by a write, and its limit
        self._buffer: list[bytes] = []
        self._alone = True
        self._flushing = False
        self._full = False  # the last read took all there was room for: more has arrived
        self._retiring = False
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False
        self.server: str | None = None
        self._transport.set_protocol(self)

    def send(self, packed: bytes) -> asyncio.Future[Reply]:
        """Send one packed command.

        Returns:
            Its reply, or RedisUnavailable or RedisCommandError as the exception.

        Raises:
            WrongEventLoop: The lane belongs to another one.
        """
        loop = self._loop
        if asyncio.get_running_loop() is not loop:
            raise WrongEventLoop
        reply: asyncio.Future[Reply] = loop.create_future()
        if self.closed:
            reply.set_exception(RedisUnavailable("lost"))
            return reply
        _commands.count += 1
        self._issued += 1
        self._waiting.append(reply)
        if self._alone and len(self._waiting) == 1:
            self._write(packed)
            return reply
        self._buffer.append(packed)
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)
        elif len(self._buffer) >= SLICE:
            self._write_buffer()
        return reply

    def fail(self, reason: str) -> None:
        """Drop the connection and tell everyone who waits on it."""
        if self.closed:
            return
        self.closed = True
        waiting, self._waiting = self._waiting, deque()
        self._buffer.clear()
        self._limits.clear()
        self._disarm()
        self._transport.abort()
        self._owner.lane_lost(self, failed=bool(waiting))
        _failures.cell({"reason": reason}).count += len(waiting)
        for reply in waiting:
            if not reply.done():
                reply.set_exception(RedisUnavailable(reason))

    def forked(self) -> None:
        """Leave the connection to the parent process."""
        self.closed = True
        if (descriptor := self._transport.get_extra_info("socket").fileno()) >= 0:
            lead_nowhere(descriptor)

    def retire(self) -> None:
        """Take no more commands, and end once those in flight have been answered."""
        self._retiring = True
        self._retire()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio hands it in
        """Where the event loop puts what arrives."""
        return self._inbox

    def buffer_updated(self, nbytes: int) -> None:
        """Hand each complete reply to the caller whose turn it is."""
        self._full = nbytes == INBOX
        try:
            self._reader.feed(self._inbox[:nbytes])  # type: ignore[arg-type]  # it takes any buffer
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                self._settle(reply)
        except (hiredis.HiredisError, IndexError):
            self.fail("lost")
            return
        self._forget_limits()
        self._owner.lane_answered(self)
        if self._retiring:
            self._retire()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio hands it in
        """The server, or the network, ended the connection."""
        self.fail("lost")

    def _settle(self, reply: Reply) -> None:
        waiter = self._waiting.popleft()
        if waiter.done():
            return
        if isinstance(reply, Exception):
            waiter.set_exception(reply)
        else:
            waiter.set_result(reply)

    def _error(self, text: str) -> RedisCommandError | RedisUnavailable:
        """Tell a server that cannot serve from a command it refuses."""
        error = RedisCommandError.from_reply(text)
        self._retiring |= error.code == "READONLY"
        return RedisUnavailable("not_ready", error.code) if error.code in NOT_READY else error

    def _retire(self) -> None:
        """Leave the connection to those still waiting on it; the next one may lead to the primary."""
        self._owner.lane_retired(self)
        if not self._waiting:
            self.fail("lost")

    def _flush(self) -> None:
        self._flushing = False
        self._alone = len(self._waiting) <= 1
        if self._buffer:
            self._write_buffer()

    def _write_buffer(self) -> None:
        self._write(b"".join(self._buffer))
        self._buffer.clear()

    def _write(self, packed: bytes) -> None:
        """Send what was issued up to now; its time begins."""
        _writes.count += 1
        self._transport.write(packed)
        overdue = self._loop.time() + self._timeout
        self._limits.append((self._issued, overdue))
        if self._timer is None:
            self._timer = self._loop.call_at(overdue, self._check)

    @property
    def _answered(self) -> int:
        return self._issued - len(self._waiting)

    def _forget_limits(self) -> None:
        limits, answered = self._limits, self._answered
        while limits and limits[0][0] <= answered:
            limits.popleft()

    def _check(self) -> None:
        """See to the oldest slice when its time is over."""
        self._timer = None
        if not self._limits:
            return
        _, overdue = self._limits[0]
        now = self._loop.time()
        if now < overdue:
            self._timer = self._loop.call_at(overdue, self._check)
            return
        due = now + (min(self._timeout, GRACE) if now - overdue > LATE else DRAIN)
        self._timer = self._loop.call_at(due, self._expire, self._answered, due, due + LINGER)

    def _expire(self, answered: int, due: float, until: float) -> None:
        """Give up on a server that answers no more or too slowly, not on what a busy loop has yet to read."""
        self._timer = None
        now = self._loop.time()
        if not self._limits or now < self._limits[0][1]:
            self._check()
            return
        if self._full or now - due > LATE:
            until = now + LINGER
        if self._answered == answered or now >= until:
            self.fail("timeout")
            return
        due = now + DRAIN
        self._timer = self._loop.call_at(due, self._expire, self._answered, due, until)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
