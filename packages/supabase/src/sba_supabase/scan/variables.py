"""Text kept in variables and put together later, near where a key seems to begin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sba_supabase.scan.views import Patchwork, View

_BEGINNINGS: Final = (b"eyJ", b"sb_", b"ZXlK", b"c2Jf")  # of a token and a key, plain and in base64
_QUOTES: Final = b"\"'`"
_REACH: Final = 16_384
_START: Final = rb"(?<![\w$])"  # or every letter of a long word is tried as the start of one
_NAME: Final = rb"[A-Za-z_$][\w$]*"
_TEXT: Final = rb"\\?[\"'`][\w.\-+/=%]{1,4096}\\?[\"'`]"
_ASSIGNED: Final = re.compile(_START + rb"(" + _NAME + rb")\s*(?::\s*[a-z]+\s*)?[=:]\s*(" + _TEXT + rb")")
_PART: Final = rb"(?:" + _NAME + rb"\.)?" + _NAME
_TERM: Final = rb"(?:" + _PART + rb"|" + _TEXT + rb")"
_SUM: Final = re.compile(_START + _TERM + rb"(?:\s{0,64}\+\s{0,64}" + _TERM + rb"){1,400}")
_TEMPLATE: Final = re.compile(
    rb"`([\w.\-]{0,4096}(?:\$\{\s{0,64}" + _PART + rb"\s{0,64}\}[\w.\-]{0,4096}){2,400})`"
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
    made = Patchwork(view, "variables", straight=False)
    covered = -1
    for place in sorted(_beginnings(view.data)):
        if place < covered:
            continue
        low, covered = max(0, place - _REACH), place + _REACH
        for start, text in _expressions(view.data[low : place + 2 * _REACH]):
            made.add(text, low + start)
            made.separate()
    return made.view()


def _expressions(data: bytes) -> Iterator[tuple[int, bytes]]:
    known = {match[1]: match[2].strip(_WRAPPING) for match in _ASSIGNED.finditer(data)}

    def value(part: bytes) -> bytes:
        return known.get(part.rpartition(b".")[2], b"")

    for found in _SUM.finditer(data):
        operands = _OPERAND.finditer(found[0])
        parts = [operand[1].strip(_WRAPPING) if operand[1] else value(operand[2]) for operand in operands]
        yield found.start(), b"".join(parts)
    for found in _TEMPLATE.finditer(data):
        yield found.start(), _SLOT.sub(lambda slot: value(slot[1]), found[1])
    for found in _LIST.finditer(data):
        parts = [value(part.strip()) for part in found[1].split(b",")]
        yield found.start(), (found[2] or b"").join(parts)
