"""The HTTP server process."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import uvicorn

from sba_api import access
from sba_api.app import create_app
from sba_api.settings import ApiSettings
from sba_telemetry import configure_logging


def config(settings: ApiSettings) -> uvicorn.Config:
    """How uvicorn runs the app: no trust in proxy headers, no server header, a bounded shutdown."""
    return uvicorn.Config(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        access_log=False,
        log_config=None,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )


def serve(settings: ApiSettings) -> None:
    """Answer until a signal says stop, then finish what was begun."""
    configure_logging(service="sba-api", level=settings.log_level)
    access.configure(service="sba-api", stream=sys.stderr)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stopped)
    uvicorn.Server(config(settings)).run()


def _stopped(_: int, __: FrameType | None) -> None:
    """Take the signal that uvicorn raises once more after it has stopped: a wished end is status 0."""
