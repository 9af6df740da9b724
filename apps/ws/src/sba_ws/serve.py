"""The server process."""

from __future__ import annotations

import signal
import socket
from types import FrameType

import uvicorn

from sba_telemetry.logs import configure_logging
from sba_ws.app import Application, create_app
from sba_ws.limits import Limits
from sba_ws.link import protocol_with
from sba_ws.settings import WsSettings


class DrainingServer(uvicorn.Server):
    """uvicorn closes WebSockets before the lifespan ends; this one lets the application drain them first."""

    def __init__(self, config: uvicorn.Config, app: Application) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, drain, then shut down as usual."""
        for server in self.servers:
            server.close()
        if not self.force_exit:
            await self._app.drain()
        await super().shutdown(sockets)


def server(settings: WsSettings, *, limits: Limits | None = None) -> DrainingServer:
    """The server of one node, ready to run.

    Engine.IO pings, so uvicorn does not; compression would cost memory per socket; query strings hold session
    ids, so nothing that logs them is on.
    """
    bounds = limits or Limits()
    app = create_app(settings, limits=bounds)
    config = uvicorn.Config(
        app,
        host=settings.ws_host,
        port=settings.ws_port,
        ws=protocol_with(bounds.socket_buffer),
        ws_max_size=bounds.message_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="warning",
        lifespan="on",
        backlog=4096,
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )
    return DrainingServer(config, app)


def serve(settings: WsSettings) -> None:
    """Serve until a signal says stop, then drain."""
    configure_logging(service="sba-ws", level=settings.log_level)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stopped)
    server(settings).run()


def _stopped(_: int, __: FrameType | None) -> None:
    """Take the signal that uvicorn raises once more after it has stopped: a wished end is status 0."""
