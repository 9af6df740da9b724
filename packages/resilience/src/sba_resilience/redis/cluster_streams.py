"""Follow streams in every slot of a cluster over one connection to each primary."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sba_resilience.errors import RedisCommandError, RedisError, RedisUnavailable
from sba_resilience.redis.background import ended, in_background
from sba_resilience.redis.keys import common_slot
from sba_resilience.redis.lane import Lane
from sba_resilience.redis.node import Node
from sba_resilience.redis.nodes import Nodes
from sba_resilience.redis.script import Executor
from sba_resilience.redis.streams import BATCH, Reconnected, StreamEntry, backoff, entries_of, last_id
from sba_resilience.redis.topology import Redirect
from sba_resilience.redis.words import Reply, pack

AT_ONCE: Final = 64  # streams read in one write
ANSWER_WITHIN: Final = 1.0  # seconds
HELLO: Final = pack(("HELLO", 3))
TRACK: Final = pack(("CLIENT", "TRACKING", "ON"))
PING: Final = pack(("PING",))
TRY_AGAIN: Final = 0.05  # seconds until a stream on its way to another node is read again


@dataclass(slots=True, eq=False)
class _Stream:
    """How far one stream was read by us, and by whoever follows."""

    key: str
    read_id: str
    seen_id: str
    pump: _Pump | None = None


_Item: TypeAlias = "tuple[_Stream, StreamEntry] | Reconnected | RedisError | None"


class ClusterStreamReader:
    """Reads the streams of a cluster.

    A blocking read takes streams of one slot only, so none is used: a stream is read on a connection whose
    keys the server tracks, and read again when the server tells that it has changed.

    Args:
        redis: Runs short commands.
        nodes: Who serves what.
        block: Seconds of silence after which a node is asked whether it is there.
    """

    def __init__(self, redis: Executor, nodes: Nodes, *, block: float) -> None:
        self._redis = redis
        self._nodes = nodes
        self._block = block
        self._streams: dict[str, _Stream] = {}
        self._pumps: dict[Node, _Pump] = {}
        self._items: asyncio.Queue[_Item] = asyncio.Queue(BATCH)
        self._ending: list[asyncio.Task[None]] = []
        self._following = False
        self._closed = False

    @property
    def positions(self) -> Mapping[str, str]:
        """The id of the last entry seen, by stream."""
        return {key: stream.seen_id for key, stream in self._streams.items()}

    async def add(self, key: str, from_id: str = "$") -> None:
        """Follow one more stream, after `from_id`.

        Raises:
            RedisUnavailable: `$` could not be resolved.
        """
        start = await last_id(self._redis, key) if from_id == "$" else from_id
        self.remove(key)
        self._streams[key] = _Stream(key, start, start)
        self._share_out()

    def remove(self, key: str) -> None:
        """Stop following a stream; entries already read but not yet handed out are dropped."""
        stream = self._streams.pop(key, None)
        if stream is not None and stream.pump is not None:
            stream.pump.drop(stream)

    async def follow(
        self, positions: Mapping[str, str] | None = None
    ) -> AsyncGenerator[StreamEntry | Reconnected, None]:
        """Entries as they come, and `Reconnected` when a connection was lost or a stream has moved.

        Raises:
            RedisUnavailable: A `$` in `positions` could not be resolved.
            RedisCommandError: A key is not a stream, the user may not read it, or the server has no
                client tracking.
        """
        for key, from_id in (positions or {}).items():
            await self.add(key, from_id)
        self._start()
        try:
            while not self._closed and (item := await self._items.get()) is not None:
                if isinstance(item, RedisError):
                    raise item
                if isinstance(item, Reconnected):
                    yield item
                elif (entry := self._seen(*item)) is not None:
                    yield entry
        finally:
            await self._stop()

    async def aclose(self) -> None:
        """End `follow` and close its connections."""
        self._closed = True
        await self._stop()
        self._items.put_nowait(None)

    def _seen(self, stream: _Stream, entry: StreamEntry) -> StreamEntry | None:
        if self._streams.get(stream.key) is not stream:
            return None
        stream.seen_id = entry.entry_id
        return entry

    def _start(self) -> None:
        self._following = True
        for stream in self._streams.values():
            stream.read_id = stream.seen_id
        self._nodes.listeners.add(self._share_out)
        self._share_out()

    async def _stop(self) -> None:
        self._following = False
        self._nodes.listeners.discard(self._share_out)
        pumps, self._pumps = tuple(self._pumps.values()), {}
        for stream in self._streams.values():
            stream.pump = None
        ending, self._ending = self._ending, []
        await asyncio.gather(*(pump.aclose() for pump in pumps), *ending)
        while not self._items.empty():
            self._items.get_nowait()

    def _share_out(self) -> None:
        """Let every stream be read from the primary of its slot."""
        if not self._following:
            return
        for stream in self._streams.values():
            with contextlib.suppress(RedisUnavailable):
                self._hand_over(stream, self._nodes.serving(common_slot([stream.key])))
        for node, pump in tuple(self._pumps.items()):
            if not pump.streams:
                self._ending.append(in_background(self._pumps.pop(node).aclose()))

    def _hand_over(self, stream: _Stream, node: Node) -> None:
        pump = self._pumps.get(node)
        if pump is None:
            pump = self._pumps[node] = _Pump(node, self._nodes, self._items, block=self._block)
        if stream.pump is not pump:
            pump.take(stream)


class _Pump:
    """Carries the entries of the streams one primary serves to the reader."""

    def __init__(self, node: Node, nodes: Nodes, items: asyncio.Queue[_Item], *, block: float) -> None:
        self._node = node
        self._nodes = nodes
        self._items = items
        self._block = block
        self._unread: dict[_Stream, None] = {}
        self._later: list[_Stream] = []
        self._woken = asyncio.Event()
        self._doubt = False
        self.streams: dict[str, _Stream] = {}
        self._task = in_background(self._run())

    def take(self, stream: _Stream) -> None:
        """Read a stream from here on."""
        if stream.pump is not None:
            stream.pump.drop(stream)
            self._doubt = True
        stream.pump = self
        self.streams[stream.key] = stream
        self._unread[stream] = None
        self._woken.set()

    def drop(self, stream: _Stream) -> None:
        """Leave a stream to others."""
        stream.pump = None
        self.streams.pop(stream.key, None)
        self._unread.pop(stream, None)

    async def aclose(self) -> None:
        """Close the connection."""
        await ended(self._task)

    async def _run(self) -> None:
        attempts = 0
        while True:
            attempts += 1
            try:
                lane = await self._node.open_push_lane(
                    timeout=ANSWER_WITHIN, pushed=self._pushed, ended=self._woken.set
                )
                try:
                    await asyncio.gather(_sent(lane, HELLO), _sent(lane, TRACK))
                    tried, attempts = attempts, 0
                    await self._serve(lane, tried)
                finally:
                    lane.fail("closed")
            except RedisUnavailable as error:
                if error.reason == "closed":
                    await self._items.put(None)
                    return
                self._doubt |= attempts == 0
                self._nodes.look()
                await asyncio.sleep(backoff(attempts))
            except RedisCommandError as error:
                await self._items.put(error)
                return

    async def _serve(self, lane: Lane, attempts: int) -> None:
        self._unread.update(dict.fromkeys(self.streams.values()))
        while True:
            if self._doubt:
                self._doubt = False
                await self._items.put(Reconnected(attempts))
            while self._unread:
                await self._read(lane, tuple(self._unread)[:AT_ONCE])
            await self._until_changed(lane)

    async def _until_changed(self, lane: Lane) -> None:
        later, self._later = self._later, []
        try:
            async with asyncio.timeout(TRY_AGAIN if later else self._block):
                await self._woken.wait()
        except TimeoutError:
            await _sent(lane, PING)
        self._woken.clear()
        self._unread.update(dict.fromkeys(stream for stream in later if stream.pump is self))

    async def _read(self, lane: Lane, streams: Sequence[_Stream]) -> None:
        for stream in streams:
            del self._unread[stream]
        reading = [
            _sent(lane, pack(("XREAD", "COUNT", BATCH, "STREAMS", stream.key, stream.read_id)))
            for stream in streams
        ]
        replies = await asyncio.gather(*reading, return_exceptions=True)
        for stream, reply in zip(streams, replies, strict=True):
            if stream.pump is self:
                await self._carry(lane, stream, reply)

    async def _carry(self, lane: Lane, stream: _Stream, reply: Reply) -> None:
        if isinstance(reply, RedisCommandError):
            self._refused(stream, reply)
        elif isinstance(reply, RedisUnavailable) and not lane.closed:
            self._later.append(stream)
        elif isinstance(reply, BaseException):
            raise reply
        elif reply:
            await self._pass_on(stream, entries_of(reply.items()))

    async def _pass_on(self, stream: _Stream, entries: list[StreamEntry]) -> None:
        if len(entries) == BATCH:
            self._unread[stream] = None
        for entry in entries:
            stream.read_id = entry.entry_id
            await self._items.put((stream, entry))

    def _refused(self, stream: _Stream, error: RedisCommandError) -> None:
        redirect = Redirect.of(error, self._node.place)
        if redirect is None:
            raise error
        self._later.append(stream)
        if not redirect.asking:
            self._nodes.moved(redirect.slot, redirect.address)

    def _pushed(self, message: Reply) -> None:
        kind, *rest = message
        if kind != b"invalidate":
            return
        keys = self.streams if rest[0] is None else (str(key, "utf-8", "surrogateescape") for key in rest[0])
        self._unread.update(dict.fromkeys(self.streams[key] for key in keys if key in self.streams))
        self._woken.set()


def _sent(lane: Lane, packed: bytes) -> asyncio.Future[Reply]:
    if lane.closed:
        raise RedisUnavailable("lost")
    return lane.send(packed)
