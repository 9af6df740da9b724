"""The contents of objects, on disk: one file for each version, named by nobody but us."""

from __future__ import annotations

import asyncio
import hashlib
import mmap
import os
import shutil
import uuid
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from sba_local.supabase.storage import errors

_AT_ONCE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """What is kept of an object's content.

    Attributes:
        version: its name among the contents.
        size: in bytes.
        digest: of all of it, in hex.
    """

    version: str
    size: int
    digest: str


class Files:
    """Contents by version.

    Args:
        place: the directory, made when it is needed.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    def path(self, version: str) -> Path:
        """Where a version is.

        Raises:
            ValueError: it is no version of ours.
        """
        return self._place / str(uuid.UUID(version))

    async def receive(self, chunks: AsyncIterable[bytes], *, most: int) -> Content:
        """Keep what comes, in memory no more than a piece of it.

        Raises:
            StorageRefusal: it is larger than `most` bytes; nothing of it is kept.
        """
        version, size = str(uuid.uuid4()), 0
        digest = hashlib.md5(usedforsecurity=False)
        stream = await asyncio.to_thread(self._create, version)
        try:
            with stream:
                async for piece in _pieces(_limited(chunks, most)):
                    size += len(piece)
                    digest.update(piece)
                    await asyncio.to_thread(stream.write, piece)
        except BaseException:
            await self.remove(version)
            raise
        return Content(version, size, digest.hexdigest())

    async def cut(self, version: str, start: int, end: int) -> Content:
        """Keep a part of a content as a content of its own."""
        return await asyncio.to_thread(self._cut, version, start, end)

    async def copy(self, stream: BinaryIO) -> str:
        """Keep an open content a second time and return the version of the copy."""
        version = str(uuid.uuid4())
        with await asyncio.to_thread(self._create, version) as copied:
            await asyncio.to_thread(shutil.copyfileobj, stream, copied, _AT_ONCE)
        return version

    async def open(self, version: str) -> BinaryIO | None:
        """A content, readable to its end whatever becomes of the version; None for one that is gone."""
        try:
            return await asyncio.to_thread(self.path(version).open, "rb")
        except FileNotFoundError:
            return None

    async def remove(self, *versions: str) -> None:
        """Forget contents; those that are gone already are no error."""
        for version in versions:
            await asyncio.to_thread(self.path(version).unlink, missing_ok=True)

    def _cut(self, version: str, start: int, end: int) -> Content:
        made, digest = str(uuid.uuid4()), hashlib.md5(usedforsecurity=False)
        with self.path(version).open("rb") as source, self._create(made) as stream:
            source.seek(start)
            left = end - start
            while left and (piece := source.read(min(left, _AT_ONCE))):
                digest.update(piece)
                stream.write(piece)
                left -= len(piece)
        return Content(made, end - start, digest.hexdigest())

    def _create(self, version: str) -> BinaryIO:
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        return os.fdopen(os.open(self.path(version), flags, 0o600), "wb", buffering=0)


async def _limited(chunks: AsyncIterable[bytes], most: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise errors.too_large()
        yield chunk


async def _pieces(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces that are worth a write."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= _AT_ONCE:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def mapped(path: Path) -> mmap.mmap | bytes:
    """A file's bytes, read only where they are looked at."""
    with path.open("rb") as stream:
        if not path.stat().st_size:
            return b""
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
