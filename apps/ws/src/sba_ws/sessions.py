"""How long an authenticated socket lives: until its token ends or its membership does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from sba_db import DatabaseError, MembershipDenied
from sba_telemetry.logs import get_logger
from sba_ws import packets
from sba_ws.client import Client, Clients
from sba_ws.gateway import Gateway
from sba_ws.handshake import VerifyMember
from sba_ws.limits import Limits
from sba_ws.link import POLICY

_log = get_logger(__name__)

_LONGEST_TIMER = 3600.0
"""Timers are set anew at least this often, for the wall clock may be set."""


class Sessions:
    """Tells clients that their token is about to end, and ends what has lost its ground.

    Args:
        gateway: Whose sockets.
        clients: Who is on them.
        limits: When.
        wall_clock: Seconds since the epoch.
    """

    def __init__(
        self, *, gateway: Gateway, clients: Clients, limits: Limits, wall_clock: Callable[[], float]
    ) -> None:
        self._gateway = gateway
        self._clients = clients
        self._limits = limits
        self._wall_clock = wall_clock

    def start(self, client: Client) -> None:
        """Set, or after a refresh set anew, what happens around the end of the client's token."""
        self._wait_for_notice(client)
        self._wait_for_end(client)

    async def watch_memberships(self, verify_member: VerifyMember) -> None:
        """Look at every membership once an interval, until cancelled; what cannot be checked now is kept."""
        while True:
            await asyncio.sleep(self._limits.membership_interval)
            for membership in {client.membership for client in self._clients}:
                try:
                    await verify_member(*membership)
                except MembershipDenied:
                    self._revoke(membership)
                except (DatabaseError, TimeoutError) as error:
                    _log.warning("membership_unchecked", reason=type(error).__name__)

    def end(self, client: Client, reason: str) -> None:
        """Disconnect for good: the client has to bring something new."""
        self._gateway.close(client.wire, POLICY, reason, final=True)

    def _revoke(self, membership: tuple[object, object]) -> None:
        for client in self._clients:
            if client.membership == membership:
                self.end(client, "membership")

    def _wait_for_notice(self, client: Client) -> None:
        at = client.expires_at - self._limits.expiry_notice
        self._call_at(client, "notice", at, self._notify)

    def _wait_for_end(self, client: Client) -> None:
        self._call_at(client, "end", client.expires_at, lambda client: self.end(client, "expired"))

    def _call_at(self, client: Client, name: str, at: float, action: Callable[[Client], None]) -> None:
        def due() -> None:
            if at > self._wall_clock():
                self._call_at(client, name, at, action)
            elif client.connected:
                action(client)

        delay = min(max(at - self._wall_clock(), 0.0), _LONGEST_TIMER)
        client.wire.set_timer(name, asyncio.get_running_loop().call_later(delay, due))

    def _notify(self, client: Client) -> None:
        at = packets.moment(datetime.fromtimestamp(client.expires_at, UTC))
        self._gateway.push(client.wire, packets.event("auth:expiring", {"at": at}))
