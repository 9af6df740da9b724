"""The body of an answer: up to a moment, up to a size, and no burden to those on the same connection."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

from sba_supabase.errors import AnswerTooLarge

_T = TypeVar("_T")
_PIECE: Final = 65_536
_GZIP: Final = 31  # zlib's number for gzip and the longest window
_PLAIN: Final = frozenset({"", "identity"})


class Strays:
    """What goes on for nobody any more, to its end.

    Over HTTP/2 everybody shares a connection. To break off in the middle of writing would break it for all;
    to hear no more of an answer would leave them without the room that its bytes take in the connection.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def take(self, work: Coroutine[Any, Any, object], *, seconds: float) -> None:
        """Let it end, or end it after so many seconds; how it fails is nobody's business."""
        task = asyncio.create_task(_quietly(work, seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """End whatever is under way."""
        await asyncio.sleep(0)  # what has not begun would not be told
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _quietly(work: Coroutine[Any, Any, object], seconds: float) -> None:
    with suppress(Exception):
        async with asyncio.timeout(seconds):
            await work


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an answer may take.

    Attributes:
        until: the moment, of the loop's time, at which it has to be there.
        read: seconds between two parts.
        largest: bytes, unpacked.
    """

    until: float
    read: float
    largest: int

    def next(self) -> float:
        """The moment at which the next part has to be there."""
        return min(self.until, asyncio.get_running_loop().time() + self.read)

    def left(self) -> float:
        """Seconds in which an answer for nobody may end."""
        return max(self.until - asyncio.get_running_loop().time(), 0.0) + self.read


async def before(moment: float, work: Awaitable[_T], request: httpx.Request) -> _T:
    """What it gives, if it does so before that moment of the loop's time.

    Raises:
        httpx.ReadTimeout: it does not.
    """
    try:
        async with asyncio.timeout_at(moment):
            return await work
    except TimeoutError:
        raise httpx.ReadTimeout("the answer takes too long", request=request) from None


class Body(httpx.AsyncByteStream):
    """The body of an answer, unpacked.

    Args:
        response: the answer; its headers speak of what is unpacked from then on.
        request: what it answers.
        bounds: what it may take.
        strays: hear it to its end when it is closed before, where others share its connection.
    """

    def __init__(
        self, response: httpx.Response, request: httpx.Request, bounds: Bounds, strays: Strays | None
    ) -> None:
        self._stream = response.stream
        self._request = request
        self._bounds = bounds
        self._strays = strays
        self._parts: AsyncIterator[bytes] | None = None
        self._reading: asyncio.Task[bytes | None] | None = None
        self._ended = False
        self._encoding = response.headers.pop("content-encoding", "").strip().lower()
        if self._encoding not in _PLAIN:
            response.headers.pop("content-length", None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpack = self._unpacker()
        size = 0
        while (part := await self._part()) is not None:
            for piece in unpack(part):
                size += len(piece)
                if size > self._bounds.largest:
                    raise AnswerTooLarge(self._bounds.largest)
                yield piece

    async def aclose(self) -> None:
        """Close it; one that others share a connection with is heard to its end first, by nobody."""
        if self._ended or self._strays is None:
            await self._close()
        else:
            self._strays.take(self.drain(), seconds=self._bounds.left())

    async def drain(self) -> None:
        """Hear the rest of it, then close it."""
        try:
            while await (self._reading or self._read()) is not None:
                self._reading = None
        finally:
            await self._close()

    async def _close(self) -> None:
        if isinstance(self._stream, httpx.AsyncByteStream):
            await self._stream.aclose()

    async def _part(self) -> bytes | None:
        """The next part as it comes; None at the end."""
        if self._strays is None:
            return await before(self._bounds.next(), self._read(), self._request)
        self._reading = asyncio.create_task(self._read())
        part = await before(self._bounds.next(), asyncio.shield(self._reading), self._request)
        self._reading = None
        return part

    async def _read(self) -> bytes | None:
        if self._parts is None:
            self._parts = aiter(self._stream)  # type: ignore[arg-type]  # an asynchronous transport's
        part = await anext(self._parts, None)
        self._ended = part is None
        return part

    def _unpacker(self) -> _Plain | _Gzip:
        if self._encoding in _PLAIN:
            return _Plain()
        if self._encoding in {"gzip", "x-gzip"}:
            return _Gzip(self._request)
        raise httpx.DecodingError("an encoding that was not asked for", request=self._request)


class _Plain:
    def __call__(self, part: bytes) -> Iterator[bytes]:
        yield part


class _Gzip:
    """Unpacks in pieces of a bounded size, however much one part holds."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request
        self._unpack = zlib.decompressobj(_GZIP)

    def __call__(self, part: bytes) -> Iterator[bytes]:
        while part:
            try:
                piece = self._unpack.decompress(part, _PIECE)
            except zlib.error:
                raise httpx.DecodingError("not what gzip packs", request=self._request) from None
            if piece:
                yield piece
            part = self._unpack.unconsumed_tail or self._unpack.unused_data
            if self._unpack.eof:
                self._unpack = zlib.decompressobj(_GZIP)
