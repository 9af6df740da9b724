"""The primaries of a cluster and the slots they serve, kept true in the background."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from sba_resilience.errors import RedisCommandError, RedisError, RedisUnavailable
from sba_resilience.redis.background import ended, in_background
from sba_resilience.redis.dial import Dialer
from sba_resilience.redis.forks import FORKED
from sba_resilience.redis.lane import Lane
from sba_resilience.redis.node import Node
from sba_resilience.redis.places import Address, Places
from sba_resilience.redis.settings import RedisSettings
from sba_resilience.redis.topology import SLOTS, Shard, shards_of
from sba_resilience.redis.words import pack
from sba_resilience.shown import show_change, show_level
from sba_resilience.states import LEVELS, State
from sba_telemetry import get_logger

LOOK_AGAIN: Final = 0.05  # seconds until the nodes are asked once more who serves what
LOOK_AGAIN_CAP: Final = 0.5
ASK_SLOTS: Final = ("CLUSTER", "SLOTS")
UNKNOWN: Final = "not_ready"
NAME: Final = "redis"  # the breakers of all primaries, in metrics

_log = get_logger(__name__)


class Nodes:
    """Who serves which slot.

    Args:
        settings: Of the cluster.
        clock: Monotonic seconds.

    Attributes:
        places: The nodes the URL names.
        primaries: Those that serve slots, in the order of their first.
        listeners: Called in the event loop when slots have other primaries than before.
        forked: This is a child's copy: it is to be refused.

    Raises:
        ValueError: The URL is none, or holds options redis-py does not know.
    """

    def __init__(self, settings: RedisSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.places = Places.of(settings.url)
        self.primaries: tuple[Node, ...] = ()
        self.listeners: set[Callable[[], None]] = set()
        self._settings = settings
        self._clock = clock
        self._serving: list[Node | None] = [None] * SLOTS
        self._nodes: dict[Address, Node] = {}
        self._members: set[Address] = set()
        self._shards: tuple[Shard, ...] = ()
        self._looked = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._leaving: dict[Node, asyncio.Task[None]] = {}
        self._trouble = ""
        self._shown: State | None = None
        self._closed = self.forked = False
        self.listeners.add(self._show)
        for address in self.places.addresses:
            self._dialer(address)  # refuses a wrong URL now
        self._show()

    @property
    def covered(self) -> bool:
        """Whether every slot has a primary."""
        return None not in self._serving

    def serving(self, slot: int | None) -> Node:
        """The primary of a slot; the first one that is connected for None.

        Raises:
            RedisUnavailable: None is known, or all is closed.
        """
        if self._closed or self.forked:
            raise RedisUnavailable("closed", FORKED if self.forked else "")
        node = self._any() if slot is None else self._serving[slot]
        if node is None:
            self.look()
            raise RedisUnavailable(self._trouble or UNKNOWN, "no primary is known")
        return node

    def moved(self, slot: int, address: Address) -> Node:
        """Believe a node that says where a slot is now, and ask about the others."""
        node = self._serving[slot] = self.joined(address)
        self.look()
        return node

    def joined(self, address: Address) -> Node:
        """The node at an address, which serves something even if nobody has told of it yet."""
        node = self.at(address)
        if node not in self.primaries:
            self.primaries += (node,)
        self._tell()
        return node

    def at(self, address: Address) -> Node:
        """The node at an address."""
        if address not in self._nodes:
            self._nodes[address] = self._made(address)
        return self._nodes[address]

    def look(self) -> None:
        """Begin to ask the nodes who serves what, until every slot has a primary that is connected."""
        if not self._closed and (self._looking is None or self._looking.done()):
            self._looking = in_background(self._look_until_whole())

    async def warm_up(self) -> None:
        """Look once, and wait for the answers and connections, `connect_timeout` at most."""
        self.look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.connect_timeout):
                await self._looked.wait()

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        await ended(self._looking, *self._leaving.values())
        await asyncio.gather(*(node.aclose() for node in (*self._nodes.values(), *self._leaving)))

    def _made(self, address: Address) -> Node:
        return Node(self._settings, self.places, address, clock=self._clock, changed=self._show)

    def _show(self) -> None:
        """Let metrics show the worst of the primaries' breakers as the one of the cluster."""
        worst = max(
            (State(node.state) for node in self.primaries), key=LEVELS.__getitem__, default=State.CLOSED
        )
        if self._shown is None:
            show_level(NAME, worst)
        elif worst is not self._shown:
            show_change(NAME, worst)
        self._shown = worst

    def _any(self) -> Node | None:
        connected = (node for node in self.primaries if node.connected)
        return next(connected, self.primaries[0] if self.primaries else None)

    async def _look_until_whole(self) -> None:
        pause = LOOK_AGAIN
        while not self._closed:
            await self._look_once()
            dialing = {task for node in self.primaries if (task := node.connect_ahead()) is not None}
            if dialing:
                await asyncio.wait(dialing, timeout=pause)
            self._looked.set()
            if self.covered and all(node.connected for node in self.primaries):
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LOOK_AGAIN_CAP)

    async def _look_once(self) -> None:
        trouble = UNKNOWN
        for address in self._sources():
            try:
                shards = await self._told_by(address)
            except RedisError as error:
                trouble = _reason(error)
                continue
            if shards:
                await self._adopt(shards)
                trouble = ""
                break
        self._note(trouble)

    def _note(self, trouble: str) -> None:
        """Remember why nobody tells who serves what, and log it when it is news."""
        if trouble != self._trouble:
            _log.warning("redis cluster", outcome=trouble or "ok")
        self._trouble = trouble

    def _sources(self) -> list[Address]:
        """Whom to ask: those that answer quickly first."""
        known = [node.place for node in self.primaries if node.connected]
        others = {*self.places.addresses, *self._members, *self._nodes}.difference(known)
        return [*_shuffled(known), *_shuffled(others)]

    async def _told_by(self, address: Address) -> tuple[Shard, ...]:
        node = self._nodes.get(address)
        if node is not None and node.connected:
            return shards_of(await node.run(ASK_SLOTS), address)
        greeted = await self._dialer(address).dial()
        lane = Lane(greeted.writer, _Nobody(), timeout=self._settings.command_timeout)
        try:
            return shards_of(await lane.send(pack(ASK_SLOTS)), address)
        finally:
            lane.fail("closed")

    def _dialer(self, address: Address) -> Dialer:
        return Dialer(replace(self._settings, url=self.places.url_of(address)), clock=self._clock)

    async def _adopt(self, shards: tuple[Shard, ...]) -> None:
        serving: list[Node | None] = [None] * SLOTS
        for shard in shards:
            count = shard.last + 1 - shard.first
            serving[shard.first : shard.last + 1] = [self.at(shard.primary)] * count
        self._members = {address for shard in shards for address in (shard.primary, *shard.replicas)}
        if serving == self._serving:
            return
        self._serving = serving
        self.primaries = tuple(node for node in dict.fromkeys(serving) if node is not None)
        for address in self._nodes.keys() - {node.place for node in self.primaries}:
            node = self._nodes.pop(address)
            self._leaving[node] = in_background(self._close_when_idle(node))
        self._tell()

    def _tell(self) -> None:
        for listener in tuple(self.listeners):
            listener()

    async def _close_when_idle(self, node: Node) -> None:
        await asyncio.sleep(self._settings.command_timeout)  # by then every command on it has ended
        await node.aclose()
        del self._leaving[node]


class _Nobody:
    """Who need not know how the connection to a stranger fares."""

    def lane_answered(self, lane: Lane) -> None:
        """Nothing to do."""

    def lane_retired(self, lane: Lane) -> None:
        """Nothing to do."""

    def lane_lost(self, lane: Lane, *, failed: bool) -> None:
        """Nothing to do."""


def _shuffled(addresses: Iterable[Address]) -> list[Address]:
    listed = list(addresses)
    random.shuffle(listed)
    return listed


def _reason(error: RedisError) -> str:
    if isinstance(error, RedisUnavailable):
        return error.reason
    code = error.code if isinstance(error, RedisCommandError) else ""
    return "authentication" if code == "NOPERM" else UNKNOWN
