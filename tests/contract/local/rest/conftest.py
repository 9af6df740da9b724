"""The stand-in on a port of its own, for clients that are used as they are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvicorn

from sba_local.ports import LOOPBACK, free_port
from tests.integration.local.rest.world import Gate, app, films, films_template, settings

__all__ = ["app", "films", "films_template", "settings"]


class _Server(uvicorn.Server):
    """Leaves the process's signals alone and says when it listens."""

    def __init__(self, config):
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self):
        yield

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.listening.set()


@pytest.fixture
async def url(app) -> AsyncIterator[str]:
    """Where it answers."""
    port = free_port()
    config = uvicorn.Config(Gate(app), host=LOOPBACK, port=port, log_config=None, lifespan="off")
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    await asyncio.wait_for(server.listening.wait(), 30)
    yield f"http://{LOOPBACK}:{port}"
    server.should_exit = True
    await task
