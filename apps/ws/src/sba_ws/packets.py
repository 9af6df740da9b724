"""What this service says, encoded once however many sockets it goes to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from engineio import packet as engine_packet  # type: ignore[import-untyped]  # ships no types
from socketio import packet as socket_packet  # type: ignore[import-untyped]  # ships no types

from sba_agents.events import RunEvent

NAMESPACE: Final = "/"


class Packet(Protocol):
    """An Engine.IO packet ready to be queued."""

    @property
    def data(self) -> object:
        """Its text."""


def event(name: str, payload: Mapping[str, object]) -> Packet:
    """A Socket.IO event."""
    return _message(socket_packet.EVENT, [name, dict(payload)])


def acknowledgement(ack_id: int, payload: Mapping[str, object]) -> Packet:
    """The answer to the client's event of that number."""
    return _message(socket_packet.ACK, [dict(payload)], ack_id)


def goodbye() -> Packet:
    """The server's disconnect: clients do not come back by themselves after it."""
    return _message(socket_packet.DISCONNECT, None)


def run_event(row: RunEvent) -> Packet:
    """``run:event {run_id, seq, type, data, at}``, ``at`` in ISO 8601."""
    return event(
        "run:event",
        {
            "run_id": str(row.run_id),
            "seq": row.seq,
            "type": row.type,
            "data": row.data,
            "at": moment(row.created_at),
        },
    )


def moment(at: datetime) -> str:
    """A moment in UTC as the HTTP API writes it, ending in Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


class RunEventPackets:
    """Remembers the packets of the last events, for they go to many sockets within moments.

    Args:
        size: How many are remembered.
    """

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._packets: dict[tuple[object, object, int], Packet] = {}

    def of(self, row: RunEvent) -> Packet:
        """The event's packet."""
        key = (row.tenant_id, row.run_id, row.seq)
        packet = self._packets.get(key)
        if packet is None:
            if len(self._packets) >= self._size:
                self._packets.clear()
            packet = self._packets[key] = run_event(row)
        return packet


def _message(kind: int, data: object, ack_id: int | None = None) -> Packet:
    text = socket_packet.Packet(kind, data=data, namespace=NAMESPACE, id=ack_id).encode()
    message: Packet = engine_packet.Packet(engine_packet.MESSAGE, data=text)
    return message
