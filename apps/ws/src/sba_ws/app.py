"""The ASGI application: Socket.IO, health and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from sba_telemetry.logs import get_logger
from sba_ws.answers import Answer, Receive, Scope, Send, document, problem
from sba_ws.errors import StartupFailed
from sba_ws.limits import Limits
from sba_ws.node import Node, open_node
from sba_ws.settings import WsSettings

_log = get_logger(__name__)

PATH = "/socket.io"


class Application:
    """One node as an ASGI application; its lifespan opens and closes everything.

    Args:
        settings: From the environment.
        limits: Every bound.
        wall_clock: Seconds since the epoch.
    """

    def __init__(self, settings: WsSettings, limits: Limits, wall_clock: Callable[[], float]) -> None:
        self._opening: AbstractAsyncContextManager[Node] = open_node(settings, limits, wall_clock)
        self._node: Node | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, a request or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._node is None:
            await problem(503, "starting", "Not started yet.", retry_after=1)(scope, send)
        elif scope["path"].rstrip("/") == PATH:
            await self._node.door(scope, receive, send)
        else:
            await (await self._page(scope, self._node))(scope, send)

    async def drain(self) -> None:
        """Ask every client to come back later, before the server closes their connections."""
        if self._node is not None:
            await self._node.drain()

    async def _page(self, scope: Scope, node: Node) -> Answer:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            return problem(404, "not_found", "There is nothing here.")
        match scope["path"]:
            case "/healthz":
                return document(200, {"status": "ok"})
            case "/readyz":
                return await node.readiness()
            case "/metrics":
                text, content_type = node.telemetry.render_metrics()
                return Answer(200, text, content_type)
        return problem(404, "not_found", "There is nothing here.")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._node = await self._opening.__aenter__()
        except StartupFailed as error:
            _log.critical("startup_failed", reason=str(error))
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._node = None
        await self._opening.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})


def create_app(
    settings: WsSettings,
    *,
    limits: Limits | None = None,
    wall_clock: Callable[[], float] = time.time,  # noqa: TID251 - an app's edge
) -> Application:
    """The application of one node.

    Args:
        settings: From the environment.
        limits: Every bound; the shipped defaults when None.
        wall_clock: Seconds since the epoch.
    """
    return Application(settings, limits or Limits(), wall_clock)
