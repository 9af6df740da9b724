"""What is written as base64 or hexadecimal, or compressed and then as base64, and lines of it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from sba_supabase.scan.base64_cores import Core, decoded
from sba_supabase.scan.runs import Runs, places
from sba_supabase.scan.streams import CHUNK, ExhaustedError
from sba_supabase.scan.views import Patchwork, View

Spend = Callable[[int], None]

_GROUP: Final = 4
# Base64 of six groups of printable characters, of UTF-16, or of the header of a gzip or zlib stream.
_HEAD: Final = re.compile(
    rb"(?:[CDI-Za-f][ACDEFGHQS-Xgi-nwyz0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]){6}"
    rb"|(?:[CDI-Za-f][AQgw][AB][A-Za-z0-9+/_-]A[ACDEFGH][AEIMQUYcgkosw048]A){3}"
    rb"|(?P<stream>H4sI|e(?:A[E-H]|F[4-7]|J[w-z]|N[o-r]))"
)
_ANY_HEADER: Final = 47  # zlib's, for a gzip or a zlib stream
_MOST_CHUNKS: Final = 64
_HEX: Final = re.compile(rb"[0-9A-Fa-f]*")
_DIGITS: Final = b"0123456789abcdefABCDEF"
_REACH: Final = 65_536


def from_base64(view: View, runs: Runs, cores: Iterable[Core], spend: Spend) -> View | None:
    """The text of runs that hold a core, and of runs that begin as text or as a compressed stream do."""
    made = Patchwork(view, "base64")
    starts: set[int] = set()
    held = (piece for core in cores for piece in runs.around(core))
    for start, run in held:
        if start not in starts:
            starts.add(start)
            made.add(decoded(run), start)
            made.separate()
    for start, text in _texts(runs, spend):
        if start not in starts:
            made.add(text, start)
            made.separate()
    return made.view()


def _texts(runs: Runs, spend: Spend) -> Iterator[tuple[int, bytes]]:
    for begin, end in runs.spans:
        for start in range(begin, begin + (1 if begin else _GROUP)):  # what begins the bytes may be cut
            head = _HEAD.match(runs.data, start, end)
            if head is not None:
                data = decoded(runs.data[start:end])
                yield start, _inflated(data, spend) if head.lastgroup else data


def _inflated(data: bytes, spend: Spend) -> bytes:
    """What comes out of a stream, up to where it is broken; nothing of what is none."""
    stream = zlib.decompressobj(wbits=_ANY_HEADER)
    pieces: list[bytes] = []
    try:
        while not stream.eof and (piece := stream.decompress(data, CHUNK)):
            spend(len(piece))
            if len(pieces) > _MOST_CHUNKS:
                raise ExhaustedError
            pieces.append(piece)
            data = stream.unconsumed_tail
    except zlib.error:
        pass
    return b"".join(pieces)


def from_hex(view: View, texts: Iterable[bytes]) -> View | None:
    """The text of runs of hexadecimal that hold one of these, itself written in lower case."""
    made = Patchwork(view, "hex", stride=2)
    for text in texts:
        for start, run in _hex_runs(view.data, text):
            made.add(bytes.fromhex(run.decode()), start)
            made.separate()
    return made.view()


def _hex_runs(data: bytes, text: bytes) -> Iterator[tuple[int, bytes]]:
    """The start and the whole pairs of digits of every run that holds a text."""
    seen = -1
    for place in places(data, text):
        if place < seen:
            continue
        before = data[max(0, place - _REACH) : place]
        start = place - (len(before) - len(before.rstrip(_DIGITS))) // 2 * 2
        run = _HEX.match(data, place, place + _REACH)
        seen = run.end() if run else place
        yield start, data[start : seen - (seen - start) % 2]


def unwrapped_lines(view: View, runs: Runs) -> View | None:
    """Runs that go on in the next line, in one."""
    made = Patchwork(view, "lines", stride=1)
    for block in runs.blocks():
        for begin, end in block:
            made.add(view.data[begin:end], begin)
        made.separate()
    return made.view()
