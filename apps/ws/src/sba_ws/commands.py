"""What a client may ask for, and how it is answered: always, in time, and in one shape."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sba_db import MembershipDenied
from sba_telemetry import context
from sba_telemetry.metrics import counter
from sba_telemetry.traces import span
from sba_ws.client import Client, Clients
from sba_ws.errors import Refused
from sba_ws.gateway import Gateway, error_of
from sba_ws.limits import Limits
from sba_ws.refusals import refusal_of
from sba_ws.sessions import Sessions

_HANDLED = counter("sba.ws.commands", description="Commands handled, by name and result code")

Payload = TypeVar("Payload", bound=BaseModel)
Answer = Mapping[str, object]
Command = Callable[[Client, object], Awaitable[Answer]]


def parse(kind: type[Payload], payload: object) -> Payload:
    """A command's argument.

    Raises:
        Refused: It breaks a rule; the message names the field and the rule, never the value.
    """
    try:
        return kind.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "payload"
        raise Refused("invalid_request", f"{field}: {first['msg']}") from None


class Commands:
    """Registers commands on the gateway.

    Args:
        gateway: Where they come in.
        clients: Who sends them.
        sessions: Ended when a command finds its membership revoked.
        limits: How long one may take.
    """

    def __init__(self, *, gateway: Gateway, clients: Clients, sessions: Sessions, limits: Limits) -> None:
        self._gateway = gateway
        self._clients = clients
        self._sessions = sessions
        self._limits = limits

    def register(self, name: str, command: Command) -> None:
        """Answer events of that name with ``{ok: true, …}`` or ``{ok: false, error}``."""

        async def handle(sid: str, *arguments: object) -> Answer:
            return await self._handle(name, command, sid, arguments)

        self._gateway.on(name, handle)

    async def _handle(self, name: str, command: Command, sid: str, arguments: tuple[Any, ...]) -> Answer:
        client = self._clients.get(sid)
        if client is None:
            return error_of(Refused("not_connected", "this socket is not connected"))
        try:
            answer = await self._run(name, command, client, arguments)
        except Exception as error:  # noqa: BLE001 - the client is owed an answer, and refusal_of logs what is new
            if isinstance(error, MembershipDenied):
                self._sessions.end(client, "membership")
            refusal = refusal_of(error)
            _HANDLED.add(1, {"command": name, "code": refusal.code})
            return error_of(refusal)
        _HANDLED.add(1, {"command": name, "code": "ok"})
        return {"ok": True, **answer}

    async def _run(
        self, name: str, command: Command, client: Client, arguments: tuple[object, ...]
    ) -> Answer:
        if len(arguments) != 1:
            raise Refused("invalid_request", "payload: exactly one object is expected")
        with context.bind(tenant_id=str(client.tenant_id)), span(name, kind="server"):
            async with asyncio.timeout(self._limits.request_timeout):
                return await command(client, arguments[0])
