"""Files, and the files inside them: compressed streams, tar archives and container layers, zip archives."""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Final, cast

from sba_supabase.scan.streams import BROKEN, CHUNK, Budget, ExhaustedError, Readable, Unpacked, unpacker

_DEEPEST: Final = 8
_HEAD: Final = 512
_TAR_MAGIC: Final = b"ustar"
_TAR_MAGIC_AT: Final = 257
_ZIP_MAGICS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"Cr24")
_UNREADABLE: Final = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"\x04\x22\x4d\x18": "lz4",
    b"LZIP": "lzip",
    b"\x1f\x9d": "compress",
    b"!<arch>\ndebian-binary": "deb",
    b"\xed\xab\xee\xdb": "rpm",
    b"PACK\0\0\0": "git",
}
_IN_MEMORY: Final = 16 * CHUNK
_MOST_MEMBERS: Final = 200_000
_ARCHIVE_BROKEN: Final = (
    *BROKEN,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,  # zipfile's, for a way of packing it does not know
    RuntimeError,  # zipfile's, for a member with a password
    KeyError,  # zipfile's, for a member that its directory names and it does not hold
)
_SUFFIXES: Final = (".gz", ".br", ".bz2", ".xz")


@dataclass(frozen=True, slots=True)
class Leaf:
    """Bytes to look through.

    Attributes:
        path: where they are, with `!` before what is inside an archive.
        stream: the bytes; to be read before the next leaf is asked for.
    """

    path: str
    stream: Readable


def uncompressed(path: str) -> str:
    """A path without the ending of a compression, as its content would be named."""
    ending = next((suffix for suffix in _SUFFIXES if path.endswith(suffix)), "")
    return path.removesuffix(ending)


class Opener:
    """Opens one file down to its leaves; what cannot be opened is told and left.

    Args:
        budget: how much may be unpacked.
        tell: told a path and why it was not read, or not to its end.
    """

    def __init__(self, budget: Budget, tell: Callable[[str, str], None]) -> None:
        self._budget = budget
        self._tell = tell
        self._members = 0

    def leaves(
        self, path: str, stream: io.BufferedReader, *, name: str | None = None, depth: int = 0
    ) -> Iterator[Leaf]:
        """The leaves of a stream; it is not closed.

        Args:
            path: where it is.
            stream: its bytes.
            name: what it would be called unpacked, where that is not its path.
            depth: how many archives it is in.
        """
        head = stream.peek(_HEAD)[:_HEAD]
        if depth > _DEEPEST:
            self._tell(path, f"more than {_DEEPEST} archives inside each other")
            return
        unpack = unpacker(head, path if name is None else name)
        if unpack is not None:
            inner = path if name is None else name
            yield from self._guarded(
                path, lambda: self._unpacked(path, unpack(stream), depth, name=uncompressed(inner))
            )
        else:
            yield from self._opened(path, stream, head, depth)

    def _opened(self, path: str, stream: io.BufferedReader, head: bytes, depth: int) -> Iterator[Leaf]:
        format_ = next((name for magic, name in _UNREADABLE.items() if head.startswith(magic)), None)
        if format_ is not None:
            self._tell(path, f"{format_} archives are not looked into")
        elif head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
            yield from self._guarded(path, lambda: self._tar(path, stream, depth))
        elif head.startswith(_ZIP_MAGICS):
            yield from self._guarded(path, lambda: self._zip(path, stream, depth))
        else:
            yield Leaf(path, stream)

    def _guarded(self, path: str, inner: Callable[[], Iterator[Leaf]]) -> Iterator[Leaf]:
        try:
            yield from inner()
        except ExhaustedError:
            raise
        except _ARCHIVE_BROKEN as error:
            self._tell(path, f"broken or cut off ({type(error).__name__})")

    def _unpacked(
        self, path: str, source: Readable, depth: int, *, name: str | None = None
    ) -> Iterator[Leaf]:
        paid = cast("io.BufferedReader", io.BufferedReader(Unpacked(source, self._budget), CHUNK))
        yield from self.leaves(path, paid, name=name, depth=depth + 1)

    def _count(self) -> None:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise ExhaustedError

    def _tar(self, path: str, stream: io.BufferedReader, depth: int) -> Iterator[Leaf]:
        with tarfile.open(fileobj=stream, mode="r|", errorlevel=1) as archive:
            for member in archive:
                self._count()
                inner = f"{path}!{member.name}"
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield from self._unpacked(inner, cast("Readable", content), depth)
                elif member.linkname:
                    yield Leaf(inner, io.BytesIO(member.linkname.encode(errors="surrogateescape")))
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every member it has seen

    def _zip(self, path: str, stream: io.BufferedReader, depth: int) -> Iterator[Leaf]:
        with _seekable(stream) as whole, zipfile.ZipFile(whole) as archive:
            for member in archive.infolist():
                self._count()
                if not member.is_dir():
                    yield from self._zipped(archive, member, f"{path}!{member.filename}", depth)

    def _zipped(
        self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, depth: int
    ) -> Iterator[Leaf]:
        def opened() -> Iterator[Leaf]:
            with archive.open(member) as content:
                yield from self._unpacked(path, cast("Readable", content), depth)

        return self._guarded(path, opened)


def _seekable(stream: io.BufferedReader) -> IO[bytes]:
    """The stream's bytes where they can be read in any order: its own file, or a temporary one."""
    whole = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    while chunk := stream.read1(CHUNK):
        whole.write(chunk)
    whole.seek(0)
    return whole
