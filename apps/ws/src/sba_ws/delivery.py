"""From a run's feed to one client's queue."""

from __future__ import annotations

import asyncio
from functools import partial

from sba_agents.events import RunEvent
from sba_telemetry.metrics import counter
from sba_ws import packets
from sba_ws.client import Client
from sba_ws.gateway import Gateway
from sba_ws.limits import Limits
from sba_ws.packets import RunEventPackets
from sba_ws.run_feeds import RunFeeds, RunKey

_DELIVERED = counter("sba.ws.events_delivered", description="Run events queued for a socket")
_GAPS = counter("sba.ws.gaps", description="Holes that the table could not fill")


class Delivery:
    """Queues events for clients, pausing those who do not keep up and cutting those who have stopped.

    Args:
        gateway: Whose sockets.
        feeds: Told when a paused client has room again.
        limits: When to give up.
    """

    def __init__(self, *, gateway: Gateway, feeds: RunFeeds, limits: Limits) -> None:
        self._gateway = gateway
        self._feeds = feeds
        self._limits = limits
        self._packets = RunEventPackets()

    def start(self, client: Client) -> None:
        """Get ready to deliver to a client."""
        loop = asyncio.get_running_loop()

        def drained() -> None:
            loop.call_soon(self._resume, client)

        client.wire.queue.drained = drained

    def sink(self, client: Client, run: RunKey) -> ClientSink:
        """Where the events of one run go for one client."""
        return ClientSink(self, client, run)

    def queue_event(self, client: Client, event: RunEvent) -> bool:
        """Queue an event; False when the client has no room."""
        if not self._has_room(client):
            return False
        self._gateway.push(client.wire, self._packets.of(event))
        _DELIVERED.add(1)
        return True

    def queue_gap(self, client: Client, run: RunKey, first: int, last: int) -> bool:
        """Queue ``gap {run_id, from, to}``; False when the client has no room."""
        if not self._has_room(client):
            return False
        payload = {"run_id": str(run.run_id), "from": first, "to": last}
        self._gateway.push(client.wire, packets.event("gap", payload))
        _GAPS.add(1)
        return True

    def _has_room(self, client: Client) -> bool:
        if client.wire.queue.has_room():
            return True
        if not client.wire.has_timer("stalled"):
            cut = partial(self._gateway.cut, client.wire, "stalled")
            timer = asyncio.get_running_loop().call_later(self._limits.stall_timeout, cut)
            client.wire.set_timer("stalled", timer)
        return False

    def _resume(self, client: Client) -> None:
        client.wire.stop_timer("stalled")
        for run in tuple(client.runs):
            self._feeds.resume(run, client.sid)


class ClientSink:
    """One client's end of one run's feed."""

    __slots__ = ("_client", "_delivery", "_run")

    def __init__(self, delivery: Delivery, client: Client, run: RunKey) -> None:
        self._delivery = delivery
        self._client = client
        self._run = run

    def deliver(self, event: RunEvent) -> bool:
        """Queue the event."""
        return self._delivery.queue_event(self._client, event)

    def gap(self, first: int, last: int) -> bool:
        """Queue the gap."""
        return self._delivery.queue_gap(self._client, self._run, first, last)
