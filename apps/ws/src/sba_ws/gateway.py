"""python-socketio with bounds: on what comes in, on what waits to go out, and on how long closing takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

import engineio  # type: ignore[import-untyped]  # ships no types
import socketio  # type: ignore[import-untyped]  # ships no types

from sba_telemetry.logs import get_logger
from sba_telemetry.metrics import counter, gauge
from sba_ws import packets
from sba_ws.bucket import TokenBucket
from sba_ws.client import Client
from sba_ws.errors import Refused
from sba_ws.limits import Limits
from sba_ws.link import NORMAL, POLICY, PROTOCOL_ERROR, Link, is_expected
from sba_ws.outgoing import OutgoingQueue
from sba_ws.wire import Wire

_log = get_logger(__name__)

_SOCKETS = gauge("sba.ws.sockets", description="Open Engine.IO sockets")
_CLOSED = counter("sba.ws.sockets_closed", description="Sockets closed by this side, by reason")
_REFUSED = counter("sba.ws.messages_refused", description="Messages refused unheard, by reason")

_NUMBERED: Final = re.compile(r"2(?:/[^,\[]*,)?(\d{1,15})\[", re.ASCII)
_EVENT: Final = "2"
_MALFORMED: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


Take = Callable[[Client], Awaitable[Refused | None]]


class _WithoutTraceback(logging.Filter):
    """The library logs a client's nonsense with a traceback; the exception's name is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0] is not None:
            record.msg = f"{record.msg} ({record.exc_info[0].__name__})"
            record.exc_info = None
        return True


def _library_logger() -> logging.Logger:
    logger = logging.getLogger("sba_ws.socketio")
    logger.setLevel(logging.ERROR)
    if not logger.filters:
        logger.addFilter(_WithoutTraceback())
    return logger


def _nowhere(_: str, __: Link) -> None:
    """Where a link is told of before there is a gateway."""


class Engine(engineio.AsyncServer):  # type: ignore[misc]  # ships no types
    """Engine.IO with a bounded queue for each socket and links that can be cut."""

    _async: dict[str, Any]

    def __init__(self, limits: Limits, **options: object) -> None:
        super().__init__(**options)
        self._limits = limits
        self._async = {**self._async, "websocket": Link}
        self.linked: Callable[[str, Link], None] = _nowhere

    def create_queue(self, *_: object, **__: object) -> OutgoingQueue:
        """The outgoing queue of a new socket."""
        return OutgoingQueue(self._limits.queue_bytes, self._limits.queue_bytes_hard)

    async def disconnect(self, sid: str | None = None) -> None:
        """End one socket without waiting for what it has not fetched: it may never fetch it."""
        found = self.sockets.get(sid)
        if found is not None:
            await found.close(wait=False, reason=self.reason.SERVER_DISCONNECT)


class Gateway(socketio.AsyncServer):  # type: ignore[misc]  # ships no types
    """The Socket.IO server of this node.

    Args:
        limits: Every bound.
        origins: Browser origins that may connect, exactly as browsers send them.
        take: Takes one event from the shares of a client; says why not, when it may not be heard.
        clock: Monotonic seconds.

    Attributes:
        wires: Open sockets by Engine.IO id.
    """

    reserved_events: list[str]

    def __init__(
        self,
        *,
        limits: Limits,
        origins: Collection[str],
        take: Take | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._take = take
        self._clock = clock
        self._closing: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self.wires: dict[str, Wire] = {}
        allowed = frozenset(origins)
        super().__init__(
            async_mode="asgi",
            async_handlers=False,
            cors_allowed_origins=lambda origin, _: origin in allowed,
            cors_credentials=False,
            http_compression=False,
            max_http_buffer_size=limits.message_bytes,
            logger=_library_logger(),
            engineio_logger=_library_logger(),
        )
        self.eio.linked = self._linked

    def push(self, wire: Wire, packet: packets.Packet) -> None:
        """Queue a packet; never waits."""
        wire.queue.put_nowait(packet)

    def close(self, wire: Wire, code: int, reason: str, *, final: bool) -> None:
        """Close a socket once what is queued has been sent, or `close_timeout` has passed.

        Args:
            wire: The socket.
            code: WebSocket close code.
            reason: For the metric.
            final: Say goodbye first, so that the client does not come back by itself.
        """
        task = asyncio.create_task(self._close(wire, code, reason, final=final))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def cut(self, wire: Wire, reason: str) -> None:
        """End a socket that cannot be talked to."""
        if wire.link is None:
            self.close(wire, POLICY, reason, final=False)
            return
        _CLOSED.add(1, {"reason": reason})
        wire.link.abort()

    def refuse(self, wire: Wire) -> None:
        """Hear nothing more from a socket, and close it when its refusal had time to arrive."""
        wire.refused = True
        close = partial(self.close, wire, NORMAL, "refused", final=False)
        wire.set_timer("linger", asyncio.get_running_loop().call_later(self._limits.linger, close))

    async def emptied(self, *, within: float) -> None:
        """Wait until no socket is open, for at most that many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._empty.wait()

    async def settled(self) -> None:
        """Wait until every close that has begun has been sent, or has taken too long."""
        while self._closing:
            await asyncio.wait(tuple(self._closing))

    async def _close(self, wire: Wire, code: int, reason: str, *, final: bool) -> None:
        socket = self.eio.sockets.get(wire.id)
        if socket is None or socket.closed or socket.closing:
            return
        _CLOSED.add(1, {"reason": reason})
        wire.refused = True
        link = wire.link
        if final and wire.client is not None:
            self.push(wire, packets.goodbye())
        await socket.close(wait=False, abort=not final, reason=self.reason.SERVER_DISCONNECT)
        wire.queue.put_nowait(None)
        if link is not None:
            await link.finish(code, within=self._limits.close_timeout)

    def _linked(self, wire_id: str, link: Link) -> None:
        wire = self.wires.get(wire_id)
        if wire is not None:
            wire.link = link

    # The methods below are the library's private hooks; tests/contract/ws pins each of them.

    def _engineio_server_class(self) -> Callable[..., Engine]:
        return partial(Engine, self._limits)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        bucket = TokenBucket(self._limits.events_per_second, self._limits.events_burst, self._clock)
        wire = Wire(eio_sid, self.eio.sockets[eio_sid].queue, bucket)
        wire.queue.overflowed = partial(self.cut, wire, "overflow")
        self.wires[eio_sid] = wire
        self._empty.clear()
        _SOCKETS.set(len(self.wires))
        close = partial(self.close, wire, POLICY, "silent", final=False)
        wire.set_timer(
            "handshake", asyncio.get_running_loop().call_later(self._limits.handshake_timeout, close)
        )
        await super()._handle_eio_connect(eio_sid, environ)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        wire = self.wires.pop(eio_sid, None)
        _SOCKETS.set(len(self.wires))
        if not self.wires:
            self._empty.set()
        if wire is not None:
            wire.stop_timers()
            if reason == self.reason.CLIENT_DISCONNECT:
                wire.queue.put_nowait(None)  # else a poll that is under way is held until it times out
        await super()._handle_eio_disconnect(eio_sid, reason)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:  # noqa: ANN401 - text or bytes
        wire = self.wires.get(eio_sid)
        if wire is None:
            return
        async with wire.lock:
            if eio_sid not in self.wires or wire.refused or not self._admit(wire, data):
                return
            if data.startswith(_EVENT) and not await self._within_shares(wire, data):
                return
            try:
                await super()._handle_eio_message(eio_sid, data)
            except _MALFORMED as error:
                _log.warning("message_malformed", reason=type(error).__name__)
                self.close(wire, PROTOCOL_ERROR, "malformed", final=False)

    async def _handle_event(self, eio_sid: str, namespace: str, id: int | None, data: object) -> None:  # noqa: A002 - the library's name
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            raise ValueError("an event is a list that begins with its name")
        if data[0] in self.reserved_events or data[0] not in self.handlers.get(packets.NAMESPACE, {}):
            self._answer(self.wires[eio_sid], id, Refused("unknown_event", "no such event"))
            return
        await super()._handle_event(eio_sid, namespace, id, data)

    def _admit(self, wire: Wire, data: object) -> bool:
        if not isinstance(data, str) or not is_expected(f"4{data}"):
            self._turn_away(wire, PROTOCOL_ERROR, "unexpected")
            return False
        wait = wire.bucket.take()
        if not wait:
            return True
        if wire.bucket.refused > self._limits.events_refused:
            self._turn_away(wire, POLICY, "flood")
            return False
        refusal = Refused("rate_limited", "too many events on this socket", retry_after=wait)
        self._drop(wire, data, refusal)
        return False

    async def _within_shares(self, wire: Wire, data: str) -> bool:
        if self._take is None or wire.client is None:
            return True
        refusal = await self._take(wire.client)
        if refusal is not None:
            self._drop(wire, data, refusal)
        return refusal is None and wire.id in self.wires and not wire.refused

    def _drop(self, wire: Wire, data: str, refusal: Refused) -> None:
        numbered = _NUMBERED.match(data)
        self._answer(wire, int(numbered[1]) if numbered else None, refusal)

    def _turn_away(self, wire: Wire, code: int, reason: str) -> None:
        _REFUSED.add(1, {"reason": reason})
        self.close(wire, code, reason, final=False)

    def _answer(self, wire: Wire, ack_id: int | None, refusal: Refused) -> None:
        _REFUSED.add(1, {"reason": refusal.code})
        if ack_id is not None:
            self.push(wire, packets.acknowledgement(ack_id, error_of(refusal)))


def error_of(refusal: Refused) -> Mapping[str, object]:
    """A refusal as an acknowledgement."""
    return {"ok": False, "error": refusal.payload()}
