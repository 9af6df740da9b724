"""Follow any number of streams over one blocking connection that heals by itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sba_resilience.errors import RedisCommandError, RedisError, RedisUnavailable
from sba_resilience.redis.script import Executor
from sba_resilience.redis.words import Reply, pack

if TYPE_CHECKING:
    from sba_resilience.redis.lane import Lane
    from sba_resilience.redis.server import ServerClient

BATCH = 512
BACKOFF_BASE = 0.05
BACKOFF_CAP = 1.0
UNBLOCK_EVERY = 0.005  # seconds between attempts to end a blocking read that had not begun yet


class StreamEntry(NamedTuple):
    """One entry of one stream."""

    key: str
    entry_id: str
    fields: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The connection was lost and is back: look for holes, entries may have been trimmed meanwhile.

    Attributes:
        attempts: Connections tried until one succeeded.
    """

    attempts: int


@dataclass(slots=True)
class _Position:
    last_id: str


class StreamReader(Protocol):
    """Reads streams in order, from a position per stream; made by `RedisClient.stream_reader`."""

    @property
    def positions(self) -> Mapping[str, str]:
        """The id of the last entry seen, by stream."""

    async def add(self, key: str, from_id: str = "$") -> None:
        """Follow one more stream.

        Args:
            key: The stream; it need not exist yet.
            from_id: Entries after this id; `$` is the last one at the time this returns.

        Raises:
            RedisUnavailable: `$` could not be resolved.
        """

    def remove(self, key: str) -> None:
        """Stop following a stream; entries already read but not yet handed out are dropped."""

    def follow(
        self, positions: Mapping[str, str] | None = None
    ) -> AsyncGenerator[StreamEntry | Reconnected, None]:
        """Entries as they come, for as long as the reader is open.

        Args:
            positions: Streams to add first, with the id to start after.

        Yields:
            Entries in the order of each stream, and `Reconnected` after every loss of a connection.

        Raises:
            RedisUnavailable: A `$` in `positions` could not be resolved.
            RedisCommandError: A key is not a stream, or the user may not read it.
        """

    async def aclose(self) -> None:
        """End `follow` and close its connections."""


class ServerStreamReader:
    """Reads the streams of one server by one blocking command at a time.

    Args:
        redis: The client whose server is read; used for short commands.
        block: Seconds one blocking read may last.
    """

    def __init__(self, redis: ServerClient, *, block: float) -> None:
        self._redis = redis
        self._block = block
        self._positions: dict[str, _Position] = {}
        self._changed = asyncio.Event()
        self._lane: Lane | None = None
        self._connection_id: int | None = None
        self._closed = False

    @property
    def positions(self) -> Mapping[str, str]:
        """The id of the last entry seen, by stream."""
        return {key: position.last_id for key, position in self._positions.items()}

    async def add(self, key: str, from_id: str = "$") -> None:
        """Follow one more stream, after `from_id`.

        Raises:
            RedisUnavailable: `$` could not be resolved.
        """
        resolved = await last_id(self._redis, key) if from_id == "$" else from_id
        self._positions[key] = _Position(resolved)
        self._changed.set()

    def remove(self, key: str) -> None:
        """Stop following a stream; entries already read but not yet handed out are dropped."""
        self._positions.pop(key, None)
        self._changed.set()

    async def follow(
        self, positions: Mapping[str, str] | None = None
    ) -> AsyncGenerator[StreamEntry | Reconnected, None]:
        """Entries as they come, and `Reconnected` after every loss of the connection.

        Raises:
            RedisUnavailable: A `$` in `positions` could not be resolved.
            RedisCommandError: A key is not a stream, or the user may not read it.
        """
        for key, from_id in (positions or {}).items():
            await self.add(key, from_id)
        first = True
        while (attempts := await self._connect()) and not self._closed:
            if not first:
                yield Reconnected(attempts)
            first = False
            async for entry in self._entries():
                yield entry

    async def aclose(self) -> None:
        """End `follow` and close the connection."""
        self._closed = True
        self._changed.set()
        self._drop()

    async def _connect(self) -> int:
        self._drop()
        attempts = 0
        while not self._closed:
            attempts += 1
            try:
                self._lane = await self._redis.open_lane(timeout=self._block + 1.0)
                self._connection_id = await _connection_id(self._lane)
            except RedisUnavailable as error:
                self._closed |= error.reason == "closed"
                await asyncio.sleep(backoff(attempts))
            else:
                break
        return attempts

    async def _entries(self) -> AsyncIterator[StreamEntry]:
        try:
            while not self._closed:
                following = dict(self._positions)
                for entry in await self._read(following):
                    position = following[entry.key]
                    if self._positions.get(entry.key) is position:
                        position.last_id = entry.entry_id
                        yield entry
        except RedisUnavailable:
            return

    async def _read(self, following: Mapping[str, _Position]) -> list[StreamEntry]:
        self._changed.clear()
        if not following:
            await self._changed.wait()
            return []
        if self._lane is None or self._lane.closed:
            raise RedisUnavailable("lost")
        words = ("XREAD", "COUNT", BATCH, "BLOCK", int(self._block * 1000), "STREAMS")
        ids = (position.last_id for position in following.values())
        reading = self._lane.send(pack((*words, *following, *ids)))
        await self._until_read_or_changed(reading)
        return entries_of(await reading)

    async def _until_read_or_changed(self, reading: asyncio.Future[Reply]) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({reading, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        while not reading.done():
            await self._unblock(reading)

    async def _unblock(self, reading: asyncio.Future[Reply]) -> None:
        pause = self._block
        if self._connection_id is not None:
            with contextlib.suppress(RedisError):
                await self._redis.execute("CLIENT", "UNBLOCK", self._connection_id)
                pause = UNBLOCK_EVERY
        await asyncio.wait({reading}, timeout=pause)

    def _drop(self) -> None:
        if self._lane is not None:
            self._lane.fail("closed")
            self._lane = None


async def _connection_id(lane: Lane) -> int | None:
    try:
        return int(await lane.send(pack(("CLIENT", "ID"))))
    except RedisCommandError:
        return None


async def last_id(redis: Executor, key: str) -> str:
    """The id of a stream's newest entry, or one before all of them."""
    newest = await redis.execute("XREVRANGE", key, "+", "-", "COUNT", 1)
    return str(newest[0][0], "ascii") if newest else "0-0"


def backoff(attempts: int) -> float:
    """Seconds to wait after that many attempts to connect in a row."""
    return random.uniform(0, min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(attempts, 10)))  # noqa: S311 - jitter


def entries_of(reply: Reply) -> list[StreamEntry]:
    """The entries in a reply to XREAD."""
    return [
        StreamEntry(str(key, "utf-8"), str(entry_id, "ascii"), _fields(words))
        for key, entries in (reply or ())
        for entry_id, words in entries
    ]


def _fields(words: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(words[::2], words[1::2], strict=True))
