"""A text cut into passages that can be found and quoted on their own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

LIMIT: Final = 900
OVERLAP: Final = 200
_PIECE: Final = LIMIT - OVERLAP
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_SENTENCE: Final = re.compile(r"(?<=[.!?\u2026\u3002\uff01\uff1f])[\"'\u201d\u2019»)\]]*\s+")
_JOINERS: Final = "\u200d\ufe0e\ufe0f"


class _Piece(NamedTuple):
    """A sentence, or part of a very long one, as a slice of the text."""

    start: int
    end: int
    opens: bool
    paragraph_end: int


def split(text: str) -> list[str]:
    """Cut a text into passages of at most `LIMIT` characters, in order.

    Passages end where a paragraph or a sentence does; a sentence longer than a passage is cut between words,
    and a word longer than that between characters. Where a paragraph goes on in the next passage, a last
    sentence of at most `OVERLAP` characters is repeated there. Each passage is a slice of the text without
    outer whitespace, and together they hold everything in it that is not whitespace.

    Returns:
        The passages; none for a text of whitespace.
    """
    return [text[start:end] for start, end in _passages(list(_pieces(text)))]


def _passages(pieces: list[_Piece]) -> Iterator[tuple[int, int]]:
    if not pieces:
        return
    start = pieces[0].start
    for last, piece in pairwise(pieces):
        if _fits(start, last, piece):
            continue
        yield start, last.end
        start = _restart(last, piece)
    yield start, pieces[-1].end


def _fits(start: int, last: _Piece, piece: _Piece) -> bool:
    if piece.end - start > LIMIT:
        return False
    half_full = last.end - start >= LIMIT // 2
    return not (piece.opens and half_full and piece.paragraph_end - start > LIMIT)


def _restart(last: _Piece, piece: _Piece) -> int:
    repeats = not piece.opens and last.end - last.start <= OVERLAP and piece.end - last.start <= LIMIT
    return last.start if repeats else piece.start


def _pieces(text: str) -> Iterator[_Piece]:
    for paragraph_start, paragraph_end in _between(text, _PARAGRAPH, 0, len(text)):
        opens = True
        for start, end in _between(text, _SENTENCE, paragraph_start, paragraph_end):
            for cut_start, cut_end in _cut(text, start, end):
                yield _Piece(cut_start, cut_end, opens, paragraph_end)
                opens = False


def _between(text: str, boundary: re.Pattern[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for match in boundary.finditer(text, start, end):
        yield from _trimmed(text, at, match.end())
        at = match.end()
    yield from _trimmed(text, at, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    inner = text[start:end]
    left = len(inner) - len(inner.lstrip())
    if left < len(inner):
        yield start + left, start + len(inner.rstrip())


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > _PIECE:
        at = _break(text, start)
        yield from _trimmed(text, start, at)
        start = at
    yield from _trimmed(text, start, end)


def _break(text: str, start: int) -> int:
    furthest = start + _PIECE
    between_words = max(text.rfind(space, start + _PIECE // 2, furthest) for space in " \n\t")
    if between_words > 0:
        return between_words
    at = furthest
    while at > start + _PIECE // 2 and _belongs_to_the_last(text, at):
        at -= 1
    return at


def _belongs_to_the_last(text: str, at: int) -> bool:
    """Whether the character here cannot be parted from the one before."""
    return unicodedata.combining(text[at]) > 0 or text[at] in _JOINERS or text[at - 1] == "\u200d"
