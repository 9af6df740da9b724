"""A stand-in for the part of Supabase Auth that services verify tokens against. For development only."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, Self

import uvicorn

from sba_local.errors import PortTaken
from sba_local.identity import Issuer
from sba_local.ports import LOOPBACK

_Send = Callable[[dict[str, Any]], Awaitable[None]]
_NAME = "the Supabase stand-in"
_DESCRIPTION = "SBA's stand-in for Supabase Auth: for development only, never expose it"


class StandIn:
    """ASGI app: the key set and the health of `/auth/v1`.

    Args:
        issuer: whose keys it publishes.
    """

    def __init__(self, issuer: Issuer) -> None:
        self._documents: Mapping[str, Mapping[str, Any]] = {
            "/auth/v1/.well-known/jwks.json": issuer.jwks(),
            "/auth/v1/health": {"name": "sba-local", "version": "development", "description": _DESCRIPTION},
        }

    async def __call__(self, scope: Mapping[str, Any], _receive: object, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        document = self._documents.get(scope["path"])
        if document is None:
            await _answer(send, 404, {"error": "not_found", "description": _DESCRIPTION})
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, {"error": "method_not_allowed", "description": _DESCRIPTION})
        else:
            await _answer(send, 200, document)


async def _answer(send: _Send, status: int, document: Mapping[str, Any]) -> None:
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-sba-stand-in", b"development only"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class StandInServer:
    """Serves a `StandIn` on loopback from the running event loop.

    Args:
        issuer: whose keys it publishes.
        port: to listen on.
    """

    def __init__(self, issuer: Issuer, *, port: int) -> None:
        self._port = port
        config = uvicorn.Config(
            StandIn(issuer),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen and return.

        Raises:
            PortTaken: somebody else listens there.
        """
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, self._port))
            listener.listen()
        except OSError:
            listener.close()
            raise PortTaken(self._port, wanted_for=_NAME) from None
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        await self._server.listening.wait()

    async def stop(self) -> None:
        """Stop listening; without effect when it is not running."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None


class _Server(uvicorn.Server):
    """Leaves the process's signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()
