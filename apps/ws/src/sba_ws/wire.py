"""One Engine.IO socket, before and after anyone has authenticated on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sba_ws.bucket import TokenBucket
from sba_ws.outgoing import OutgoingQueue

if TYPE_CHECKING:
    from sba_ws.client import Client
    from sba_ws.link import Link


class Wire:
    """What this service knows of one Engine.IO socket.

    Attributes:
        id: Engine.IO's name for it, a secret between it and this service.
        queue: What waits to be sent on it.
        bucket: What it may still send.
        link: The WebSocket under it, None while it polls.
        client: Who authenticated on it.
        refused: A connect was refused or its client has left: nothing more is heard from it.
        lock: Held while one of its messages is handled.
    """

    __slots__ = ("_timers", "bucket", "client", "id", "link", "lock", "queue", "refused")

    def __init__(self, wire_id: str, queue: OutgoingQueue, bucket: TokenBucket) -> None:
        self.id = wire_id
        self.queue = queue
        self.bucket = bucket
        self.link: Link | None = None
        self.client: Client | None = None
        self.refused = False
        self.lock = asyncio.Lock()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def __repr__(self) -> str:
        return f"<Wire {'open' if self.client is None else 'authenticated'}>"

    def set_timer(self, name: str, timer: asyncio.TimerHandle) -> None:
        """Keep a timer until it is replaced, stopped or the wire is gone."""
        self.stop_timer(name)
        self._timers[name] = timer

    def has_timer(self, name: str) -> bool:
        """Whether a timer is set."""
        return name in self._timers

    def stop_timer(self, name: str) -> None:
        """Cancel a timer, if it is set."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def stop_timers(self) -> None:
        """Cancel everything."""
        for name in tuple(self._timers):
            self.stop_timer(name)
