"""Every bound of the service in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one client, one address and one node may use.

    Sizes are bytes, times are seconds. The defaults are what ships; tests pass tighter ones.
    """

    message_bytes: int = 65_536
    """Largest frame or request body a client may send."""
    connections: int = 10_000
    """Sockets of one node; the next one is told to come back later."""
    connections_per_user: int = 50
    """Sockets of one user on one node."""
    connects_per_address: int = 600
    """New sockets of one address in a minute."""
    connects_per_user: int = 120
    """Completed handshakes of one user in a minute."""
    handshake_timeout: float = 10.0
    """A socket that has not authenticated by then is closed."""
    linger: float = 1.0
    """How long a refused socket stays open so that the refusal can be read."""
    close_timeout: float = 2.0
    """How long a closing socket may take to flush before its connection is cut."""
    request_timeout: float = 5.0
    """One handshake or one command, end to end."""
    subscriptions: int = 100
    """Runs one socket may follow at once."""
    events_per_second: float = 20.0
    """Commands of one socket, sustained."""
    events_burst: int = 40
    """Commands of one socket, at once."""
    events_refused: int = 200
    """Commands refused without a pause in between before the socket is closed."""
    events_per_user: int = 2_400
    """Commands of one user in a minute, on all its sockets of all nodes."""
    events_per_tenant: int = 24_000
    """Commands of one tenant in a minute, on all its sockets of all nodes."""
    events_block: int = 20
    """Commands that one question to Redis admits, at most."""
    queue_bytes: int = 262_144
    """Outgoing bytes at which the delivery of events to one client pauses."""
    queue_bytes_hard: int = 1_048_576
    """Outgoing bytes at which a client is cut off on the spot."""
    socket_buffer: int = 262_144
    """Kernel send buffer of one connection."""
    stall_timeout: float = 15.0
    """A client whose paused delivery has not resumed by then is cut off."""
    page: int = 200
    """Events read from the table at once."""
    table_reads: int = 4
    """Concurrent reads of the event table by one node."""
    poll_interval: float = 5.0
    """Look at the table for events that Redis never carried, while Redis answers."""
    outage_poll_interval: float = 1.0
    """The same while Redis does not answer."""
    membership_interval: float = 60.0
    """A revoked membership closes its sockets within about this time."""
    expiry_notice: float = 60.0
    """How long before its token ends a client is told."""
    drain_spread: float = 5.0
    """At shutdown, clients are asked to come back spread over this time."""
    drain_grace: float = 1.0
    """At shutdown, how long clients have to leave by themselves."""
