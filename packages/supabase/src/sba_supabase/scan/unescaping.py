"""Tokens written with escapes: percent, JavaScript and JSON, character references, two bytes a character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from sba_supabase.scan.views import Patchwork, View

_NAMED: Final = {b"lowbar": b"_", b"UnderBar": b"_", b"period": b"."}
_REFERENCE: Final = (
    rb"&(?:amp;){0,4}(?:#(?:[xX]0{0,6}[2-7][0-9A-Fa-f](?![0-9A-Fa-f])|0{0,6}[0-9]{2,3}(?![0-9]));?"
    rb"|(?:" + b"|".join(_NAMED) + rb");)"
)
_ESCAPE: Final = (
    rb"%(?:25){0,8}(?:u00)?[2-7][0-9A-Fa-f]"
    rb"|\\{1,8}(?:x[2-7][0-9A-Fa-f]|u00[2-7][0-9A-Fa-f]|u\{0{0,6}[2-7][0-9A-Fa-f]\}|[01][0-7]{2})"
    rb"|" + _REFERENCE
)
# Where an escape may begin; each begins with a letter of its own, and is searched at memory speed.
_BEGINNINGS: Final = (
    re.compile(rb"%(?:u00)?[2-7][0-9A-Fa-f]"),
    re.compile(rb"\\(?:x[2-7]|u00[2-7]|u\{|[01][0-7])"),
    re.compile(_REFERENCE),
)
_ONE: Final = re.compile(_ESCAPE)
_RUN: Final = re.compile(rb"(?:" + _ESCAPE + rb")(?:[A-Za-z0-9_.\-+/=]+|" + _ESCAPE + rb")*")
_TOKEN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-+/="
_CONTINUES: Final = frozenset(bytes((code,)) for code in _TOKEN + b"\\")
_NEAR: Final = 64
_LONGEST_BEFORE: Final = 4096
_SHORTEST: Final = 16
_ESCAPES_KNOWN: Final = 4096

_WIDE_LETTER: Final = frozenset((*b"\t\n\r", *range(0x20, 0x7F)))
_WIDE_KINDS: Final = bytes(
    b"ab "[0 if code in _WIDE_LETTER else 1 if code == 0 else 2] for code in range(256)
)
_WIDE_NEEDLE: Final = b"ab" * 12
_WIDE_RUN: Final = re.compile(rb"(?:ab)+a?")


def _hexadecimal(escape: bytes) -> int:
    return int(escape.rstrip(b";}")[-2:], 16)


def _reference(escape: bytes) -> int:
    name = escape.replace(b"amp;", b"")[1:].rstrip(b";")
    if name in _NAMED:
        return _NAMED[name][0]
    return _hexadecimal(escape) if name[1:2] in b"xX" else min(int(name[1:]), 127)


@lru_cache(_ESCAPES_KNOWN)
def _character(escape: bytes) -> bytes:
    if escape.startswith(b"&"):
        code = _reference(escape)
    elif escape.lstrip(b"\\")[:1].isdigit():
        code = int(escape.lstrip(b"\\"), 8)
    else:
        code = _hexadecimal(escape)
    return bytes((code,))


def unescaped(view: View) -> View | None:
    """Every run of token characters with escapes among them, without the escapes."""
    made = Patchwork(view, "escaped")
    for start, run in _escaped_runs(view.data):
        text = _ONE.sub(lambda match: _character(match[0]), run)
        if len(text) >= _SHORTEST:
            made.add(text, start)
            made.separate()
    return made.view()


def _escaped_runs(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Runs with an escape, long enough to be more than one of text; found by what an escape begins with."""
    for beginning in _BEGINNINGS:
        end = 0
        for found in beginning.finditer(data):
            begin = found.start()
            match = _RUN.match(data, begin) if begin >= end else None
            end = match.end() if match else end
            start = _start(data, begin) if match and data[begin - 1 : begin] in _CONTINUES else begin
            if match and end - start >= _SHORTEST:
                yield start, data[start:end]


def _start(data: bytes, place: int) -> int:
    """Where the token characters begin that come right before an escape."""
    for reach in (_NEAR, _LONGEST_BEFORE):
        base = max(0, place - reach)
        before = data[base:place].rstrip(b"\\")
        rest = before.rstrip(_TOKEN)
        if rest:
            break
    return base + len(rest) if len(rest) < len(before) else place


def narrowed(view: View) -> View | None:
    """Texts written with two bytes a character, with one."""
    if b"\0" not in view.data:
        return None
    made = Patchwork(view, "UTF-16", stride=2)
    kinds = view.data.translate(_WIDE_KINDS)
    begin = kinds.find(_WIDE_NEEDLE)
    while begin >= 0:
        found = _WIDE_RUN.match(kinds, begin)
        end = found.end() if found else begin + len(_WIDE_NEEDLE)
        made.add(view.data[begin:end:2], begin)
        made.separate()
        begin = kinds.find(_WIDE_NEEDLE, end)
    return made.view()
