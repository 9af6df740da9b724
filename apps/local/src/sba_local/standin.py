"""The stand-in for a Supabase project, over HTTP on loopback. For development and tests only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Generator, Mapping, MutableMapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from sba_local.errors import PortTaken, WouldBeExposed
from sba_local.identity import Issuer
from sba_local.ports import LOOPBACK

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sba_local.supabase.gateway import Gateway, Project

_NAME = "the Supabase stand-in"
_DESCRIPTION = "SBA's stand-in for a Supabase project: for development only, never expose it"
_HEADER = (b"x-sba-stand-in", b"development only")
_KEY_SET = "/auth/v1/.well-known/jwks.json"
_HEALTH = "/auth/v1/health"


class StandIn:
    """ASGI app: the key set and the health of `/auth/v1` at once, the rest once there is a database.

    Args:
        issuer: whose keys it publishes.
    """

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._gateway: Gateway | None = None

    def open(self, project: Project) -> None:
        """Serve REST, auth, functions and storage too.

        Args:
            project: what to serve.
        """
        from sba_local.supabase.gateway import Gateway  # noqa: PLC0415  # half a second's work, not needed before

        self._gateway = Gateway(project, self._issuer)

    async def aclose(self) -> None:
        """Close what the services hold."""
        if self._gateway is not None:
            await self._gateway.aclose()
            self._gateway = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        sending = _marked(send)
        document = self._document(scope["path"])
        if document is not None:
            await _fixed(sending, scope["method"], document)
        elif self._gateway is not None:
            await self._gateway(scope, receive, sending)
        else:
            message = "The stand-in has no database yet"
            await _answer(sending, 503, {"error": "unavailable", "message": message})

    def _document(self, path: str) -> Mapping[str, Any] | None:
        if path == _KEY_SET:
            return self._issuer.jwks()
        if path == _HEALTH:
            return {"name": "sba-local", "version": "development", "description": _DESCRIPTION}
        return None


async def _fixed(send: Send, method: str, document: Mapping[str, Any]) -> None:
    if method in ("GET", "HEAD"):
        await _answer(send, 200, document)
    else:
        await _answer(send, 405, {"error": "method_not_allowed", "description": _DESCRIPTION})


def _marked(send: Send) -> Send:
    """Says with every answer what it comes from."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), _HEADER]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, document: Mapping[str, Any]) -> None:
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"access-control-allow-origin", b"*"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class StandInServer:
    """Serves a `StandIn` from the running event loop.

    Args:
        issuer: whose keys it publishes.
        port: to listen on.
        host: address to listen on.
        exposed: whether that may be one which others than this machine can reach.

    Raises:
        WouldBeExposed: it is such a one, and may not be.
    """

    def __init__(self, issuer: Issuer, *, port: int, host: str = LOOPBACK, exposed: bool = False) -> None:
        if not exposed and not _is_loopback(host):
            raise WouldBeExposed(host)
        self._host, self._port = host, port
        self._app = StandIn(issuer)
        config = uvicorn.Config(
            self._app,
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
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
            listener.listen()
        except OSError:
            listener.close()
            raise PortTaken(self._port, wanted_for=_NAME) from None
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        await self._server.listening.wait()

    def open(self, project: Project) -> None:
        """Serve the whole project, now that its database is there."""
        self._app.open(project)

    async def stop(self) -> None:
        """Stop listening; without effect when it is not running."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None
        await self._app.aclose()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: only this one is known to stay on the machine
        return host == "localhost"


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
