"""Text kept in variables and put together later, near where a key seems to begin."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from sba_supabase.scan.views import Patchwork, View

_BEGINNINGS: Final = (b"eyJ", b"sb_", b"ZXlK", b"c2Jf")  # of a token and a key, plain and in base64
_QUOTES: Final = b"\"'`"
_REACH: Final = 16_384
_LONGEST: Final = 16_384
_START: Final = rb"(?<![\w$])"  # or every letter of a long word is tried as the start of one
_NAME: Final = rb"[A-Za-z_$][\w$]*"
_TEXT: Final = rb"\\?[\"'`][\w.\-+/=%]{1,4096}\\?[\"'`]"
_ASSIGNED: Final = re.compile(_START + rb"(" + _NAME + rb")\s*(?::\s*[a-z]+\s*)?[=:]\s*(" + _TEXT + rb")")
_PART: Final = rb"(?:" + _NAME + rb"\.)?" + _NAME
_TERM: Final = rb"(?:" + _PART + rb"|" + _TEXT + rb")"
_MORE: Final = re.compile(_START + rb"(" + _NAME + rb")\s{0,9}\+=\s{0,9}(" + _TEXT + rb")")
_MEMBER: Final = re.compile(rb"(?<=[\w$])\[[\"'](" + _NAME + rb")[\"']\]")
_SUM: Final = re.compile(_START + _TERM + rb"(?:\s{0,64}\+\s{0,64}" + _TERM + rb"){1,400}")
_CONCATENATED: Final = re.compile(
    _START
    + _TERM
    + rb"(?:\.concat\(\s{0,64}"
    + _TERM
    + rb"(?:\s{0,64},\s{0,64}"
    + _TERM
    + rb"){0,40}\)){1,40}"
)
_TEMPLATE: Final = re.compile(
    rb"`([\w.\-]{0,4096}(?:\$\{\s{0,64}" + _PART + rb"\s{0,64}\}[\w.\-]{0,4096}){1,400})`"
)
_LIST: Final = re.compile(
    rb"\[\s*("
    + _PART
    + rb"(?:\s*,\s*"
    + _PART
    + rb"){1,400})\s*,?\s*\]\s*\.join\(\s*(?:[\"'`]([^\"'`]{0,8})[\"'`])?"
)
_OPERAND: Final = re.compile(rb"(" + _TEXT + rb")|(" + _PART + rb")")
_SLOT: Final = re.compile(rb"\$\{\s*(" + _PART + rb")\s*\}")
_WRAPPING: Final = b"\\\"'`"


def _beginnings(data: bytes) -> Iterator[int]:
    """Where a literal begins as a key does; one in each stretch."""
    for text in _BEGINNINGS:
        position = data.find(text)
        while position >= 0:
            literal = position > 0 and data[position - 1] in _QUOTES
            if literal:
                yield position
            position = data.find(text, position + (_REACH if literal else len(text)))


def resolved(view: View) -> View | None:
    """Sums, templates and joined lists of variables, with what was assigned to them in their place."""
    made = Patchwork(view, "variables")
    covered = -1
    for place in sorted(_beginnings(view.data)):
        if place < covered:
            continue
        low, covered = max(0, place - _REACH), place + _REACH
        for start, text in _expressions(view.data[low : place + 2 * _REACH]):
            made.add(text, low + start)
            made.separate()
    return made.view()


class _Assigned:
    """What the variables and members of some code were assigned, and what was added to it.

    Args:
        data: the code.
    """

    def __init__(self, data: bytes) -> None:
        self._parts: dict[bytes, list[tuple[int, list[bytes]]]] = {}
        found = [*_ASSIGNED.finditer(data), *_MORE.finditer(data)]
        for match in sorted(found, key=lambda match: match.start()):
            known = self._parts.setdefault(match[1], [])
            text = match[2].strip(_WRAPPING)
            if known and match.re is _MORE:
                known[-1][1].append(text)
            else:
                known.append((match.start(), [text]))

    def grown(self) -> Iterator[tuple[int, bytes]]:
        """Where each variable begins that something was added to, and its text."""
        for known in self._parts.values():
            yield from ((place, _bounded(parts)) for place, parts in known if len(parts) > 1)

    def value(self, part: bytes, place: int) -> bytes:
        """The text of a variable or member where it is used, nothing where that is not seen."""
        known = self._parts.get(part.rpartition(b".")[2])
        if known is None:
            return b""
        index = bisect_right(known, place, key=lambda entry: entry[0])
        return _bounded(known[max(0, index - 1)][1])


def _bounded(parts: Iterable[bytes]) -> bytes:
    """The parts in one, as long as a key may be."""
    made: list[bytes] = []
    left = _LONGEST
    for part in parts:
        made.append(part[:left])
        left -= len(made[-1])
        if not left:
            break
    return b"".join(made)


def _expressions(region: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each expression begins, about, and its text."""
    data = _MEMBER.sub(rb".\1", region)
    assigned = _Assigned(data)
    yield from assigned.grown()
    for found in chain(_SUM.finditer(data), _CONCATENATED.finditer(data)):
        yield found.start(), _bounded(_operands(found, assigned))
    for found in _TEMPLATE.finditer(data):
        yield found.start(), _bounded(_filled(found, assigned))
    for found in _LIST.finditer(data):
        parts = (assigned.value(part.strip(), found.start()) for part in found[1].split(b","))
        yield found.start(), (found[2] or b"").join(parts)[:_LONGEST]


def _operands(found: re.Match[bytes], assigned: _Assigned) -> Iterator[bytes]:
    for operand in _OPERAND.finditer(found[0].replace(b".concat(", b"+")):
        yield operand[1].strip(_WRAPPING) if operand[1] else assigned.value(operand[2], found.start())


def _filled(found: re.Match[bytes], assigned: _Assigned) -> Iterator[bytes]:
    for index, piece in enumerate(_SLOT.split(found[1])):
        yield assigned.value(piece, found.start()) if index % 2 else piece
