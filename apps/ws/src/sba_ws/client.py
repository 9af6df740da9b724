"""Someone who has authenticated on a socket, and everyone who has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from sba_ratelimit import Limit
from sba_ws.run_feeds import RunKey
from sba_ws.wire import Wire


@dataclass(slots=True, eq=False)
class Client:
    """An authenticated socket.

    Attributes:
        sid: Socket.IO's name for it.
        wire: The socket.
        user_id: Who.
        tenant_id: For which tenant, fixed for the life of the socket.
        chosen_tenant: The tenant the client asked for by name, None when its token's was taken.
        expires_at: When its token ends, in seconds since the epoch.
        runs: What it follows.
        shares: The limits its events count against.
    """

    sid: str
    wire: Wire
    user_id: UUID
    tenant_id: UUID
    chosen_tenant: UUID | None
    expires_at: float
    runs: set[RunKey] = field(default_factory=set)
    shares: tuple[Limit, ...] = ()

    @property
    def connected(self) -> bool:
        """Whether this client is still the one on its socket."""
        return self.wire.client is self and not self.wire.refused

    @property
    def membership(self) -> tuple[UUID, UUID]:
        """Tenant and user: what has to stay true for this socket to stay open."""
        return self.tenant_id, self.user_id


class Clients:
    """The authenticated sockets of this node."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Client] = {}
        self._per_user: Counter[UUID] = Counter()

    def __len__(self) -> int:
        return len(self._by_sid)

    def __iter__(self) -> Iterator[Client]:
        return iter(tuple(self._by_sid.values()))

    def get(self, sid: str) -> Client | None:
        """The client of that name."""
        return self._by_sid.get(sid)

    def sockets_of(self, user_id: UUID) -> int:
        """How many sockets a user has here."""
        return self._per_user[user_id]

    def add(self, client: Client) -> None:
        """A client has come."""
        self._by_sid[client.sid] = client
        self._per_user[client.user_id] += 1
        client.wire.client = client

    def remove(self, sid: str) -> Client | None:
        """A client has gone; returns it, or None for someone unknown."""
        client = self._by_sid.pop(sid, None)
        if client is not None:
            client.wire.client = None
            self._per_user[client.user_id] -= 1
            if not self._per_user[client.user_id]:
                del self._per_user[client.user_id]
        return client
