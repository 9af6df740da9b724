"""Tokens written with escapes: percent, JavaScript and JSON, character references, two bytes a character."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from sba_supabase.scan.views import Patchwork, View

_ESCAPE: Final = (
    rb"%(?:25){0,8}[2-7][0-9A-Fa-f]|\\{1,8}x[2-7][0-9A-Fa-f]|\\{1,8}u00[2-7][0-9A-Fa-f]|\\{1,8}u\{0{0,6}[2-7][0-9A-Fa-f]\}"
    rb"|\\{1,8}[01][0-7]{2}|&#[xX]0{0,6}[2-7][0-9A-Fa-f];|&#0{0,6}[0-9]{2,3};"
)
_RUN: Final = rb"(?:[A-Za-z0-9_.\-+/=]|" + _ESCAPE + rb")*"
# One pattern for each way to begin, because a pattern that begins with a literal is searched at memory speed.
_STARTS: Final = (
    rb"%(?:25){0,8}[2-7][0-9A-Fa-f]",
    rb"\\(?:\\{0,8}x[2-7][0-9A-Fa-f]|\\{0,8}u00[2-7][0-9A-Fa-f]|\\{0,8}u\{0{0,6}[2-7][0-9A-Fa-f]\}|\\{0,8}[01][0-7]{2})",
    rb"&#(?:[xX]0{0,6}[2-7][0-9A-Fa-f]|0{0,6}[0-9]{2,3});",
)
_RUNS: Final = tuple(re.compile(start + _RUN) for start in _STARTS)
_ONE: Final = re.compile(_ESCAPE)
_TOKEN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-+/="
_LONGEST_BEFORE: Final = 4096
_SHORTEST: Final = 16
_WIDE_REACH: Final = 16_384


def _hexadecimal(escape: bytes) -> int:
    return int(escape.rstrip(b";}")[-2:], 16)


def _octal(escape: bytes) -> int:
    return int(escape.lstrip(b"\\"), 8)


def _decimal(escape: bytes) -> int:
    return min(int(escape[2:-1]), 127)


def _reader(escape: bytes) -> Callable[[bytes], int]:
    if escape.startswith(b"&#"):
        return _hexadecimal if escape[2:3] in b"xX" else _decimal
    return _octal if escape.lstrip(b"\\")[:1].isdigit() else _hexadecimal


def _character(match: re.Match[bytes]) -> bytes:
    escape = match[0]
    return bytes((_reader(escape)(escape),))


def unescaped(view: View) -> View | None:
    """Every run of token characters with escapes among them, without the escapes."""
    made = Patchwork(view, "escaped", straight=False)
    for start, run in _escaped_runs(view.data):
        text = _ONE.sub(_character, run)
        if len(text) >= _SHORTEST:
            made.add(text, start)
            made.separate()
    return made.view()


def _escaped_runs(data: bytes) -> Iterator[tuple[int, bytes]]:
    for pattern in _RUNS:
        for match in pattern.finditer(data):
            begin = match.start()
            before = data[max(0, begin - _LONGEST_BEFORE) : begin]
            tail = before[len(before.rstrip(_TOKEN)) :]
            yield begin - len(tail), tail + match[0]


def narrowed(view: View, texts: tuple[bytes, ...]) -> View | None:
    """What surrounds a text written with two bytes a character, one byte of each left out."""
    if b"\0" not in view.data:
        return None
    made = Patchwork(view, "UTF-16", straight=False)
    for text in texts:
        _narrow(view.data, b"\0".join(text[index : index + 1] for index in range(len(text))), made)
    return made.view()


def _narrow(data: bytes, wide: bytes, made: Patchwork) -> None:
    position = data.find(wide)
    while position >= 0:
        low = max(position % 2, position - _WIDE_REACH)
        end = position + _WIDE_REACH
        made.add(data[low:end].replace(b"\0", b""), position)
        made.separate()
        position = data.find(wide, end)
