"""The outgoing queue of one client: counted in bytes, bounded, and never blocking its writers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

BATCH = 16
"""Packets handed out at once: python-engineio clients refuse a polling response that holds more."""

OVERHEAD = 64
"""Bytes a packet is counted with on top of its text."""


class QueuedPacket(Protocol):
    """What the queue reads of an Engine.IO packet."""

    @property
    def data(self) -> object:
        """The payload, text for everything this service sends."""


Item = QueuedPacket | None


def _size(item: Item) -> int:
    if item is None:
        return 0
    return OVERHEAD + (len(item.data) if isinstance(item.data, str | bytes) else 0)


class OutgoingQueue(asyncio.Queue[Item]):
    """A queue that asks its producer to pause at ``soft`` bytes and gives up at ``hard`` bytes.

    Attributes:
        size: Bytes waiting.
        drained: Called once when a queue that had no room is half empty again.
        overflowed: Called once when the hard bound is crossed; what was queued is dropped and nothing is
            accepted any more except the end marker.
    """

    def __init__(self, soft: int, hard: int) -> None:
        super().__init__()
        self._soft = soft
        self._hard = hard
        self._batch = 0
        self._paused = False
        self._dead = False
        self.size = 0
        self.drained: Callable[[], None] | None = None
        self.overflowed: Callable[[], None] | None = None

    def has_room(self) -> bool:
        """Whether another event may be queued; a no is followed by ``drained`` once there is room."""
        if self.size < self._soft and not self._dead:
            return True
        self._paused = True
        return False

    async def put(self, item: Item) -> None:
        """Queue a packet without ever waiting."""
        self.put_nowait(item)

    def put_nowait(self, item: Item) -> None:
        """Queue a packet, or drop everything and report when the client is too far behind."""
        if item is not None and (self._dead or self.size + _size(item) > self._hard):
            self._give_up()
            return
        super().put_nowait(item)

    async def get(self) -> Item:
        """The next packet; starts a new batch."""
        self._batch = 0
        return await super().get()

    def get_nowait(self) -> Item:
        """The next packet of this batch.

        Raises:
            asyncio.QueueEmpty: Nothing waits, or the batch is full.
        """
        if self._batch >= BATCH:
            raise asyncio.QueueEmpty
        item = super().get_nowait()
        self._batch += 1
        return item

    def _put(self, item: Item) -> None:
        super()._put(item)
        self.size += _size(item)

    def _get(self) -> Item:
        item = super()._get()
        self.size -= _size(item)
        if self._paused and self.size <= self._soft // 2 and not self._dead:
            self._paused = False
            self._call(self.drained)
        return item

    def _give_up(self) -> None:
        if self._dead:
            return
        self._dead = True
        while not self.empty():
            self._batch = 0
            self.get_nowait()
            self.task_done()
        self._call(self.overflowed)

    @staticmethod
    def _call(callback: Callable[[], None] | None) -> None:
        if callback is not None:
            callback()
