"""Long runs of base64's letters: the only places where a key, or base64 of one, can be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from sba_supabase.scan.base64_cores import ALPHABET, Core

SHORTEST: Final = 12
"""Letters of a run that counts; nothing that is looked for is shorter."""

_LETTER: Final = b"a"
_OTHER: Final = b" "
_KINDS: Final = bytes((_LETTER if code in ALPHABET else _OTHER)[0] for code in range(256))
_DIGITS: Final = b"0123456789"
_NEEDLE: Final = _LETTER * SHORTEST
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]*")
_REACH: Final = 65_536
_BREAK: Final = re.compile(rb"(?:\\{0,8}\r)?(?:\r?\n|\\{1,8}n)[ \t]{0,64}")
_TEXTS_KNOWN: Final = 1024
_SHORTEST_LINE: Final = 40

Span = tuple[int, int]


@dataclass(frozen=True)
class Runs:
    """The runs of some bytes.

    Attributes:
        data: the bytes.
    """

    data: bytes

    @cached_property
    def spans(self) -> list[Span]:
        """Where each run begins and ends."""
        kinds = self.data.translate(_KINDS)
        found = []
        begin = kinds.find(_NEEDLE)
        while begin >= 0:
            end = kinds.find(_OTHER, begin)
            end = len(kinds) if end < 0 else end
            found.append((begin, end))
            begin = kinds.find(_NEEDLE, end)
        return found

    @cached_property
    def _texts(self) -> tuple[bytes, bytes, bytes]:
        """The runs alone, apart from each other: all, those in both cases, and of these those with digits."""
        runs = [self.data[begin:end] for begin, end in self.spans]
        mixed = [run for run in runs if not run.islower() and not run.isupper()]
        numbered = [run for run in mixed if len(run.translate(None, _DIGITS)) < len(run)]
        return _OTHER.join(runs), _OTHER.join(mixed), _OTHER.join(numbered)

    def hold(self, text: bytes) -> bool:
        """Whether a text of base64's letters, not shorter than a run, is in the bytes."""
        return text in self._texts[_kind(text)]

    def around(self, core: Core) -> Iterator[tuple[int, bytes]]:
        """The start and the text of every run that holds a core, cut where its groups begin."""
        seen = [0, 0, 0, 0]  # how far runs were told, by where their groups begin
        for place in places(self.data, core.text) if self.hold(core.text) else ():
            group = (place - core.phase) % 4
            if place < seen[group]:
                continue
            before = self.data[max(0, place - _REACH) : place]
            length = len(before) - len(before.rstrip(ALPHABET))
            start = place - length + (length - core.phase) % 4
            run = _RUN.match(self.data, place, place + _REACH)
            if run is not None and start <= place:
                seen[group] = run.end()
                yield start, self.data[start : run.end()]

    def blocks(self) -> Iterator[list[Span]]:
        """Runs that are lines of one text, as mail and configuration wrap base64."""
        block: list[Span] = []
        for begin, end in self.spans:
            if end - begin < _SHORTEST_LINE or (block and begin < block[-1][1]):
                continue
            block = [(begin, end)]
            while (line := self._next_line(block[-1])) is not None:
                block.append(line)
            if len(block) > 1:
                yield block

    def _next_line(self, line: Span) -> Span | None:
        """The run in the line below, where a line is long and is nothing but a run to its end."""
        gap = _BREAK.match(self.data, line[1]) if line[1] - line[0] >= _SHORTEST_LINE else None
        rest = _RUN.match(self.data, gap.end(), gap.end() + _REACH) if gap else None
        return rest.span() if rest and rest[0] else None


@lru_cache(_TEXTS_KNOWN)
def _kind(text: bytes) -> int:
    """Which runs may hold a text: base64 is told from most names by having both cases and digits."""
    mixed = text.lower() != text != text.upper()
    return mixed + (mixed and len(text.translate(None, _DIGITS)) < len(text))


def places(data: bytes, text: bytes) -> Iterator[int]:
    """Where a text is, without those that overlap the one before."""
    position = data.find(text)
    while position >= 0:
        yield position
        position = data.find(text, position + len(text))
