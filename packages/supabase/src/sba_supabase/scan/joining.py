"""Text put together from string literals: `+`, `.concat`, templates, `.join`, lines continued, char codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final, TypeAlias

from sba_supabase.scan.base64_cores import ALPHABET
from sba_supabase.scan.runs import places
from sba_supabase.scan.views import Patchwork, View

# Everything that repeats is bounded: what is looked through may have been written to make it slow.
_QUOTE: Final = rb"\\{0,8}[\"'`]"
_COMMENT: Final = rb"/\*[^*]{0,200}\*/|//[^\r\n]{0,200}\r?\n"
_GAP: Final = rb"(?:[\s(]|\\{1,8}[nrt]|" + _COMMENT + rb"){0,64}"
_LITERAL: Final = rb"(?=[\s(\\/\"'`])" + _GAP + _QUOTE  # told from most code by its first character
_ADDED: Final = re.compile(rb"\+" + _LITERAL)  # begins with a letter of its own: searched at memory speed
_CONCATENATED: Final = re.compile(rb"\.concat\(" + _LITERAL)
_CONTINUED: Final = re.compile(rb"\\\r?\n")
_LINE_ENDS: Final = (b"\\\n", b"\\\r\n")
_SLOT: Final = re.compile(rb"\$\{" + _LITERAL)
_CLOSING: Final = re.compile(rb"[^\"'`\\]{0,1024}(" + _QUOTE + _GAP + rb"\})")
_NEXT_TO: Final = re.compile(rb"[\"'][ \t]{0,64}(?:\\?\r?\n)?[ \t]{0,64}[rRbBuUfF]{0,2}[\"']")
_ARGUMENT: Final = re.compile(rb"[^\"'`\\]{0,4096}(" + _QUOTE + _GAP + rb"," + _GAP + _QUOTE + rb")")
_MOST_ARGUMENTS: Final = 400
_BEFORE: Final = re.compile(_QUOTE + rb"(?:[\s)]|\\{1,8}[nrt]|" + _COMMENT + rb"){0,64}\Z")
_QUOTES: Final = (b'"', b"'", b"`")
_BLANK: Final = b" \t\r\n\f\v)"
_MAY_END: Final = (*_QUOTES, *(bytes((code,)) for code in _BLANK), b"*/", b"\\n", b"\\r", b"\\t")
_REACH: Final = 1024
_MOST_BEFORE: Final = 256
_MOST_BACKSLASHES: Final = 8

Joint: TypeAlias = tuple[int, int]

_ARRAY_JOIN: Final = re.compile(
    rb"\.join\(" + _GAP + rb"(?:" + _QUOTE + rb"([^\"'`\\]{0,8})" + _QUOTE + rb")?"
)
_ELEMENT: Final = re.compile(rb"([\"'`])((?:(?!\1|\\\1).){0,4096})(?:\\*\1)", re.DOTALL)
_LONGEST_ARRAY: Final = 32_768
_LIST: Final = re.compile(rb"[\d,\sxXa-fA-F]{16,65536}")
_SPELLING: Final = re.compile(rb"(?:fromCharCode|fromCodePoint)\(\s*(?:\.\.\.\s*)?\[?")
_FIRST_CODES: Final = tuple(
    (
        form % begin[0],
        re.compile(rb"\s{0,9},\s{0,9}".join(form % code for code in begin) + rb"\s{0,9},", re.IGNORECASE),
    )
    for begin in (b"sb_", b"eyJ")
    for form in (b"%d", b"0x%x")
)
_IN_TOKENS: Final = ALPHABET + b".=%&#;"
_LAST_CODE: Final = 0x7F


def _joints(data: bytes, *, adjacent: bool) -> Iterator[Joint]:
    """Where one literal ends and where the next begins."""
    concatenated = [_CONCATENATED.match(data, place) for place in places(data, b".concat(")]
    for match in filter(None, chain(_ADDED.finditer(data), concatenated)):
        before = _quote_before(data, match.start())
        if before >= 0:
            yield before, match.end()
    for match in filter(None, concatenated):
        yield from _arguments(data, match.end())
    if any(end in data for end in _LINE_ENDS):
        yield from (match.span() for match in _CONTINUED.finditer(data))
    for match in _SLOT.finditer(data) if b"${" in data else ():
        yield match.span()
        closing = _CLOSING.match(data, match.end())
        if closing is not None:
            yield closing.span(1)
    if adjacent:
        yield from (match.span() for match in _NEXT_TO.finditer(data))


def _arguments(data: bytes, begin: int) -> Iterator[Joint]:
    """What separates the literals that follow each other as arguments."""
    for _ in range(_MOST_ARGUMENTS):
        found = _ARGUMENT.match(data, begin)
        if found is None:
            return
        yield found.span(1)
        begin = found.end()


def _quote_before(data: bytes, end: int) -> int:
    """Where the quote stands that ends a literal right before a place, -1 when there is none."""
    if not data.endswith(_MAY_END, 0, end):
        return -1
    low = max(0, end - _MOST_BEFORE)
    before = data[low:end].rstrip(_BLANK)
    if before.endswith(_QUOTES):
        return low + max(len(before[:-1].rstrip(b"\\")), len(before) - 1 - _MOST_BACKSLASHES)
    if not before.endswith(_MAY_END) and b"\n" not in data[low + len(before) : end]:
        return -1
    found = _BEFORE.search(data, low, end)
    return -1 if found is None else found.start()


def _clusters(joints: list[Joint]) -> Iterator[list[Joint]]:
    """Joints that lie near each other."""
    cluster: list[Joint] = []
    for joint in sorted(joints):
        if cluster and joint[0] - cluster[-1][1] > 2 * _REACH:
            yield cluster
            cluster = []
        if not cluster or joint[0] >= cluster[-1][1]:
            cluster.append(joint)
    if cluster:
        yield cluster


def joined(view: View, *, adjacent: bool) -> View | None:
    """The surroundings of every joint between literals, without the joints.

    Args:
        view: where they are looked for.
        adjacent: whether literals that follow each other are one, as in Python.
    """
    made = Patchwork(view, "joined", stride=1)
    for cluster in _clusters(list(_joints(view.data, adjacent=adjacent))):
        position = max(0, cluster[0][0] - _REACH)
        for start, end in cluster:
            made.add(view.data[position:start], position)
            position = end
        made.add(view.data[position : position + _REACH], position)
        made.separate()
    return made.view()


def _assembled(array: bytes, separator: bytes) -> bytes:
    return separator.join(element[2] for element in _ELEMENT.finditer(array))


def assembled(view: View) -> View | None:
    """Arrays of literals that are joined, and texts written as character codes."""
    data = view.data
    made = Patchwork(view, "assembled")
    calls = (_ARRAY_JOIN.match(data, place) for place in places(data, b".join("))
    for call in filter(None, calls):
        floor = max(0, call.start() - _LONGEST_ARRAY)
        separates = call[1] is not None and call[1].translate(None, _IN_TOKENS)
        begin = -1 if separates else data.rfind(b"[", floor, call.start())
        if begin >= 0 and data[begin : call.start()].rstrip().endswith(b"]"):
            made.add(_assembled(data[begin : call.start()], call[1] or b""), begin)
            made.separate()
    for begin, codes in _codes(data):
        made.add(_spelled(codes), begin)
        made.separate()
    return made.view()


def _codes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Lists of numbers that are made a text, or begin as the codes of a key or a token do."""
    begins = [call.end() for call in _SPELLING.finditer(data)] if b"fromC" in data else []
    for first, pattern in _FIRST_CODES:
        begins += (place for place in places(data, first) if pattern.match(data, place))
    end = 0
    for begin in sorted(begins):
        codes = _LIST.match(data, begin) if begin >= end else None
        if codes is not None:
            end = codes.end()
            yield begin, codes[0]


def _spelled(codes: bytes) -> bytes:
    numbers = (_number(code.strip()) for code in codes.split(b","))
    return bytes(number for number in numbers if 0 <= number <= _LAST_CODE)


def _number(code: bytes) -> int:
    try:
        return int(code, 0)
    except ValueError:
        return -1
