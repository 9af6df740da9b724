"""One primary of a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sba_resilience.redis.lane import Lane
from sba_resilience.redis.places import Address, Places
from sba_resilience.redis.server import ServerClient
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.watch import WatchBus, WatchLane
from sba_resilience.redis.words import Reply, Word, pack

ASKING: Final = pack(("ASKING",))


class Node(ServerClient):
    """A server that is one of several, with a connection, a breaker and a time limit of its own.

    Args:
        settings: Of the cluster.
        places: Of the cluster, for the URL of this node.
        place: Where this node listens.
        clock: Monotonic seconds.
        changed: Called when its breaker has changed; the cluster tells the metrics of all.
    """

    def __init__(
        self,
        settings: RedisSettings,
        places: Places,
        place: Address,
        *,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(replace(settings, url=places.url_of(place)), clock=clock, changed=changed)
        self.place = place

    @property
    def connected(self) -> bool:
        """Whether the next command finds a connection."""
        return self._lane is not None

    def connect_ahead(self) -> asyncio.Task[Lane] | None:
        """Begin to connect, unless it is connected or never will be."""
        return None if self.connected or self._closed else self._dial()

    @property
    def bus(self) -> WatchBus:
        """What serves watches of this node's keys."""
        return self._bus

    async def open_push_lane(
        self,
        *,
        timeout: float,  # noqa: ASYNC109 - a limit per reply, not of this call
        pushed: Callable[[Reply], None],
        ended: Callable[[], None],
    ) -> WatchLane:
        """A connection of the caller's own on which the server may speak unasked.

        Raises:
            RedisUnavailable: The server cannot be reached, or every connection is taken.
        """
        return await self._watch_lane(timeout=timeout, pushed=pushed, ended=ended)

    async def run_asking(self, words: tuple[Word, ...], *, since: float) -> Reply:
        """Run one command on a slot that is being moved here.

        Args:
            words: The command.
            since: When its time limit began, in seconds of the event loop.

        Raises:
            RedisUnavailable: No usable answer within the time limit; the command may have run.
            RedisCommandError: The server refused the command.
        """
        return await self._run_limited(pack(words), since, ahead=ASKING)
