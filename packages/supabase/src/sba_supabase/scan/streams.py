"""Compressed streams read within bounds, whatever they claim to hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import brotli  # type: ignore[import-untyped]  # it comes without types

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK: Final = 1 << 20


class Readable(Protocol):
    """What bytes are read from."""

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes and at most `size`, empty at the end: what was read is not lost to what comes after."""


class ExhaustedError(Exception):
    """A file unpacks to more than a scan reads of one."""


class Budget:
    """How many bytes may yet be unpacked from one file.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        self._left = size

    def spend(self, size: int) -> None:
        """Take from it.

        Raises:
            ExhaustedError: it is used up.
        """
        self._left -= size
        if self._left < 0:
            raise ExhaustedError


class Unpacked(io.RawIOBase):
    """A stream whose every byte is paid for.

    Args:
        source: what it reads.
        budget: what pays.
    """

    def __init__(self, source: Readable, budget: Budget) -> None:
        self._source = source
        self._budget = budget

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer, in part."""
        room = memoryview(buffer).cast("B")
        chunk = self._source.read1(min(len(room), CHUNK))
        self._budget.spend(len(chunk))
        room[: len(chunk)] = chunk
        return len(chunk)


class BrotliError(Exception):
    """A stream is not brotli, or is cut off."""


class _Brotli:
    """A brotli stream, which has no reader of its own."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._decompressor = brotli.Decompressor()
        self._kept = b""

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes and at most `size`, empty at the end."""
        limit = CHUNK if size < 0 else size
        while not self._kept and not self._decompressor.is_finished():
            self._kept = self._more()
        chunk, self._kept = self._kept[:limit], self._kept[limit:]
        return chunk

    def _more(self) -> bytes:
        hungry = self._decompressor.can_accept_more_data()
        fed = self._source.read1(CHUNK) if hungry else b""
        if hungry and not fed:
            raise BrotliError("the brotli stream is cut off")
        try:
            return bytes(self._decompressor.process(fed, output_buffer_limit=CHUNK))
        except brotli.error:
            raise BrotliError("not a brotli stream") from None


class _Zlib:
    """A zlib stream, which has no reader of its own."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._decompressor = zlib.decompressobj()

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes and at most `size`, empty at the end."""
        limit = CHUNK if size < 0 else size
        while not self._decompressor.eof:
            fed = self._decompressor.unconsumed_tail or self._source.read1(CHUNK)
            if chunk := self._decompressor.decompress(fed, limit):
                return chunk
            if not fed:
                raise EOFError
        return b""


def _is_zlib(head: bytes) -> bool:
    """Whether some bytes begin a zlib stream and not only look like its header."""
    if not head.startswith(_ZLIB):
        return False
    try:
        return bool(zlib.decompressobj().decompress(head))
    except zlib.error:
        return False


BROKEN: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, BrotliError, ValueError)
_MAGIC: Final[dict[bytes, Callable[[io.BufferedReader], Readable]]] = {
    b"\x1f\x8b": lambda source: gzip.GzipFile(fileobj=source),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x5d\0\0\x80\0": lzma.LZMAFile,
}
_ZLIB: Final = (b"\x78\x01", b"\x78\x9c", b"\x78\xda")


def unpacker(head: bytes, name: str) -> Callable[[io.BufferedReader], Readable] | None:
    """How to unpack a stream, by its first bytes; brotli has none of its own and goes by the name."""
    for magic, opened in _MAGIC.items():
        if head.startswith(magic):
            return opened
    if _is_zlib(head):
        return _Zlib
    return _Brotli if name.endswith(".br") else None
