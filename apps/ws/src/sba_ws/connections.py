"""Clients coming and going."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from socketio.exceptions import ConnectionRefusedError as SocketRefused  # type: ignore[import-untyped]  # no types

from sba_telemetry.logs import get_logger
from sba_telemetry.metrics import counter, gauge
from sba_telemetry.traces import span
from sba_ws.client import Client, Clients
from sba_ws.delivery import Delivery
from sba_ws.errors import Refused
from sba_ws.gateway import Gateway
from sba_ws.handshake import Admission, Handshake
from sba_ws.limits import Limits
from sba_ws.packets import NAMESPACE
from sba_ws.refusals import refusal_of
from sba_ws.run_feeds import RunFeeds
from sba_ws.sessions import Sessions
from sba_ws.wire import Wire

_log = get_logger(__name__)

_CONNECTS = counter("sba.ws.connects", description="Handshakes, by result code")
_CLIENTS = gauge("sba.ws.clients", description="Authenticated sockets")


class Connections:
    """The ``connect`` and ``disconnect`` handlers.

    Args:
        gateway: Whose.
        handshake: Decides who may.
        clients: Where they are kept.
        sessions: How long they may stay.
        delivery: What they are here for.
        feeds: What they leave behind.
        limits: How many of one user.
    """

    def __init__(
        self,
        *,
        gateway: Gateway,
        handshake: Handshake,
        clients: Clients,
        sessions: Sessions,
        delivery: Delivery,
        feeds: RunFeeds,
        limits: Limits,
    ) -> None:
        self._gateway = gateway
        self._handshake = handshake
        self._clients = clients
        self._sessions = sessions
        self._delivery = delivery
        self._feeds = feeds
        self._limits = limits

    def register(self) -> None:
        """Answer the gateway's connects and disconnects."""
        self._gateway.on("connect", self.connect)
        self._gateway.on("disconnect", self.disconnect)

    async def connect(self, sid: str, environ: Mapping[str, object], auth: object = None) -> None:  # noqa: ARG002 - the library passes it
        """Let a client in.

        Raises:
            SocketRefused: The client gets a ``connect_error`` with ``{code, retry_after?}`` as its data.
        """
        wire = self._gateway.wires[self._gateway.manager.eio_sid_from_sid(sid, NAMESPACE)]
        try:
            with span("connect", kind="server"):
                admission = await self._admit(wire, auth)
        except Exception as error:  # noqa: BLE001 - the client is owed an answer, and refusal_of logs what is new
            refusal = refusal_of(error)
            _CONNECTS.add(1, {"code": refusal.code})
            self._gateway.refuse(wire)
            details = {name: value for name, value in refusal.payload().items() if name != "message"}
            raise SocketRefused(refusal.message, details) from None
        self._enter(sid, wire, admission)

    async def disconnect(self, sid: str, reason: str) -> None:  # noqa: ARG002 - the library passes it
        """Forget a client and everything it followed."""
        client = self._clients.remove(sid)
        if client is None:
            return
        _CLIENTS.set(len(self._clients))
        for run in client.runs:
            self._feeds.unsubscribe(run, sid)
        if client.wire.id in self._gateway.wires:
            self._gateway.refuse(client.wire)

    async def _admit(self, wire: Wire, auth: object) -> Admission:
        async with asyncio.timeout(self._limits.request_timeout):
            admission = await self._handshake.admit(auth)
        if self._clients.sockets_of(admission.principal.user_id) >= self._limits.connections_per_user:
            raise Refused("too_many_connections", "this user has as many connections as it may")
        if wire.refused or wire.id not in self._gateway.wires:
            raise Refused("not_connected", "this socket has gone")
        return admission

    def _enter(self, sid: str, wire: Wire, admission: Admission) -> None:
        client = Client(
            sid=sid,
            wire=wire,
            user_id=admission.principal.user_id,
            tenant_id=admission.tenant_id,
            chosen_tenant=admission.chosen_tenant,
            expires_at=admission.principal.expires_at,
        )
        wire.stop_timer("handshake")
        self._clients.add(client)
        self._delivery.start(client)
        self._sessions.start(client)
        _CONNECTS.add(1, {"code": "ok"})
        _CLIENTS.set(len(self._clients))
