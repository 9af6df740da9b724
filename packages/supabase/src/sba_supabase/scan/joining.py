"""Text put together from string literals: `+`, `.concat`, templates, `.join`, lines continued, char codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final, TypeAlias

from sba_supabase.scan.views import Patchwork, View

# Everything that repeats is bounded: what is looked through may have been written to make it slow.
_QUOTE: Final = rb"\\{0,8}[\"'`]"
_GAP: Final = rb"(?:[\s(]|\\{1,8}[nrt]|/\*[^*]{0,200}\*/){0,64}"
# Each begins with a literal, and is searched at memory speed.
_AFTER_QUOTE: Final = (
    re.compile(rb"\+" + _GAP + _QUOTE),
    re.compile(rb"\.concat\(" + _GAP + _QUOTE),
)
_ANYWHERE: Final = (re.compile(rb"\\\r?\n"), re.compile(rb"\$\{" + _GAP + _QUOTE))
_CLOSING: Final = re.compile(rb"[^\"'`\\]{0,1024}(" + _QUOTE + _GAP + rb"\})")
_NEXT_TO: Final = re.compile(rb"[\"'][ \t]{0,64}\\?\r?\n[ \t]{0,64}[rRbBuUfF]{0,2}[\"']")
_BEFORE: Final = re.compile(_QUOTE + rb"(?:[\s)]|\\{1,8}[nrt]|/\*[^*]{0,200}\*/){0,64}\Z")
_REACH: Final = 1024
_MOST_BEFORE: Final = 256

Joint: TypeAlias = tuple[int, int]

_ARRAY_JOIN: Final = re.compile(
    rb"\.join\(" + _GAP + rb"(?:" + _QUOTE + rb"([^\"'`\\]{0,8})" + _QUOTE + rb")?"
)
_ELEMENT: Final = re.compile(rb"([\"'`])((?:(?!\1|\\\1).){0,4096})(?:\\*\1)", re.DOTALL)
_LONGEST_ARRAY: Final = 32_768
_CODES: Final = re.compile(
    rb"(?:fromCharCode|fromCodePoint)\(\s*(?:\.\.\.\s*)?\[?([\d,\sxXa-fA-F]{16,65536})"
)
_LAST_CODE: Final = 0x7F


def _joints(data: bytes, *, adjacent: bool) -> Iterator[Joint]:
    """Where one literal ends and where the next begins."""
    for match in chain.from_iterable(pattern.finditer(data) for pattern in _AFTER_QUOTE):
        begin = match.start()
        before = _BEFORE.search(data, max(0, begin - _MOST_BEFORE), begin)
        if before is not None:
            yield before.start(), match.end()
    for match in chain.from_iterable(pattern.finditer(data) for pattern in _ANYWHERE):
        yield match.span()
        closing = _CLOSING.match(data, match.end()) if match[0][:1] == b"$" else None
        if closing is not None:
            yield closing.span(1)
    if adjacent:
        yield from (match.span() for match in _NEXT_TO.finditer(data))


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
    made = Patchwork(view, "joined", straight=True)
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
    made = Patchwork(view, "assembled", straight=False)
    for call in _ARRAY_JOIN.finditer(data):
        floor = max(0, call.start() - _LONGEST_ARRAY)
        begin = data.rfind(b"[", floor, call.start())
        if begin >= 0 and data[begin : call.start()].rstrip().endswith(b"]"):
            made.add(_assembled(data[begin : call.start()], call[1] or b""), begin)
            made.separate()
    for codes in _CODES.finditer(data):
        made.add(_spelled(codes[1]), codes.start())
        made.separate()
    return made.view()


def _spelled(codes: bytes) -> bytes:
    numbers = (_number(code.strip()) for code in codes.split(b","))
    return bytes(number for number in numbers if 0 <= number <= _LAST_CODE)


def _number(code: bytes) -> int:
    try:
        return int(code, 0)
    except ValueError:
        return -1
