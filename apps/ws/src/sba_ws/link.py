"""The connection under a WebSocket: what may come in, how it closes, and how it is cut."""

from __future__ import annotations

import asyncio
import socket
from asyncio import BaseTransport
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from engineio.async_drivers.asgi import WebSocket  # type: ignore[import-untyped]  # ships no types
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

NORMAL, GOING_AWAY, PROTOCOL_ERROR, POLICY, TRY_LATER = 1000, 1012, 1002, 1008, 1013
"""Close codes of RFC 6455 and its registry that this service uses."""

_STATE: Final = "sba_ws.protocol"
_WHOLE: Final = frozenset({"1", "2probe", "3", "5"})
_OPENING: Final = frozenset({"40", "41", "42"})


def is_expected(frame: object) -> bool:
    """Whether a frame is one that a client of this service has reason to send.

    That is: close, probe, pong and upgrade of Engine.IO, and connect, disconnect and event of Socket.IO.
    Nothing binary, no acknowledgement (this service asks for none), no connect error.
    """
    return isinstance(frame, str) and (frame in _WHOLE or frame[:2] in _OPENING)


def protocol_with(send_buffer: int) -> type[WebSocketsSansIOProtocol]:
    """The server's WebSocket protocol, reachable from the scope, with a kernel send buffer of that size."""

    class ReachableProtocol(WebSocketsSansIOProtocol):
        def connection_made(self, transport: BaseTransport) -> None:
            self.app_state = {**self.app_state, _STATE: self}
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            super().connection_made(transport)

    return ReachableProtocol


class Link(WebSocket):  # type: ignore[misc]  # engineio ships no types
    """Engine.IO's WebSocket with a close code, a filter on what comes in, and an emergency brake.

    Attributes:
        close_code: Said to the client when the link closes.
    """

    def __init__(self, handler: Callable[..., Awaitable[None]], server: Any) -> None:  # noqa: ANN401 - untyped
        super().__init__(handler, server)
        self.close_code = NORMAL
        self._closed = asyncio.Event()
        self._protocol: WebSocketsSansIOProtocol | None = None
        self._linked: Callable[[str, Link], None] = server.linked
        self._sid: str = handler.__self__.sid  # type: ignore[attr-defined]  # a bound method of the socket

    async def __call__(self, environ: Mapping[str, Any]) -> str:
        """Serve the connection until it ends."""
        self._protocol = environ["asgi.scope"].get("state", {}).get(_STATE)
        self._linked(self._sid, self)
        return str(await super().__call__(environ))

    async def wait(self) -> str:
        """The next frame.

        Raises:
            OSError: The connection ended, or sent what it has no reason to: both end it.
        """
        frame = await super().wait()
        if not is_expected(frame):
            self.close_code = PROTOCOL_ERROR
            raise OSError("unexpected frame")
        return str(frame)

    async def close(self) -> None:
        """Say the close code; a connection that is already closed is left alone."""
        try:
            await self.asgi_send({"type": "websocket.close", "code": self.close_code})
        except (OSError, RuntimeError):
            return
        finally:
            self._closed.set()

    async def finish(self, code: int, *, within: float) -> None:
        """Wait until what is queued has been sent and the close code said, or cut the connection.

        Args:
            code: The close code.
            within: Seconds the client has to take it.
        """
        self.close_code = code
        try:
            async with asyncio.timeout(within):
                await self._closed.wait()
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Cut the connection without a word; what was queued for it is lost."""
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.abort()
