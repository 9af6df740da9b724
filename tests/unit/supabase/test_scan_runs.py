"""The quick ways of a scan find whatever the slow and simple ones find."""

from __future__ import annotations

import base64
import gzip
import re
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from sba_supabase.scan import detection, unescaping, wrapping
from sba_supabase.scan.base64_cores import ALPHABET
from sba_supabase.scan.joining import joined
from sba_supabase.scan.runs import SHORTEST, Runs, places
from sba_supabase.scan.views import View

LOOKED_FOR = (
    *detection._PLAIN,
    *detection._HEX,
    *(core.text for core in (*detection._PAYLOAD_CORES, *detection._WRAPPED_CORES)),
)
SEARCHED = tuple(text for text in LOOKED_FOR if len(text) >= SHORTEST)
MANY = settings(max_examples=500, deadline=None)

near = st.sampled_from(SEARCHED).flatmap(
    lambda text: st.sampled_from([text, text[:-1], text[1:], text.swapcase(), text + b"=", text * 2])
)
separators = st.sampled_from([b" ", b".", b'"', b"\n", b"\\", b"", b"\0", b"\xff", b"="])
letters = st.binary(max_size=20) | st.text("abcXYZ019+/-_", max_size=20).map(str.encode)
anything = st.lists(near | separators | letters, max_size=12).map(b"".join)


@MANY
@given(data=anything)
def test_runs_are_those_of_a_plain_search(data: bytes):
    simple = [match.span() for match in re.finditer(rb"[A-Za-z0-9+/_-]{12,}", data)]
    assert Runs(data).spans == simple


@MANY
@given(data=anything)
def test_runs_hold_every_text_that_the_bytes_hold(data: bytes):
    runs = Runs(data)
    for text in SEARCHED:
        assert runs.hold(text) == (text in data)


def test_every_text_that_is_looked_for_in_runs_is_one():
    assert set(LOOKED_FOR) - set(SEARCHED) == {detection._MARK}  # a key goes on behind it
    assert all(not text.translate(None, ALPHABET) for text in LOOKED_FOR)


@MANY
@given(data=anything)
def test_every_core_is_in_a_run_around_it(data: bytes):
    for core in detection._WRAPPED_CORES:
        found = [(start, start + len(run)) for start, run in Runs(data).around(core)]
        for place in places(data, core.text):
            before = re.search(rb"[A-Za-z0-9+/_-]*\Z", data[:place])
            whole = before is not None and len(before[0]) >= core.phase % 4
            told = any(start <= place < end and (place - start) % 4 == core.phase % 4 for start, end in found)
            assert told or not whole


PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=18, max_size=60)


def unwrapped(view: View | None) -> bytes:
    return b"" if view is None else view.data


@MANY
@given(text=PRINTABLE, encoding=st.sampled_from(["ascii", "utf-16-le"]))
def test_the_base64_of_any_text_is_unwrapped(text: str, encoding: str):
    data = text.encode(encoding)
    encoded = b'"' + base64.b64encode(data).rstrip(b"=") + b'"'
    view = wrapping.from_base64(View(encoded), Runs(encoded), (), lambda _: None)
    assert data[:-3] in unwrapped(view)


@MANY
@given(text=PRINTABLE, level=st.integers(0, 9))
def test_the_base64_of_any_compressed_text_is_unwrapped(text: str, level: int):
    for packed in (gzip.compress(text.encode(), level), zlib.compress(text.encode(), level)):
        encoded = base64.b64encode(packed)
        view = wrapping.from_base64(View(encoded), Runs(encoded), (), lambda _: None)
        assert text.encode() in unwrapped(view)


TOKENS = st.text("abcXYZ019-_.", min_size=16, max_size=40)
ESCAPES = (
    "%{:02x}",
    "%25{:02X}",
    "\\x{:02x}",
    "\\\\x{:02x}",
    "\\u00{:02x}",
    "\\u{{{:x}}}",
    "&#x{:x};",
    "&#{};",
)


@MANY
@given(text=TOKENS, choices=st.lists(st.sampled_from([None, *ESCAPES]), min_size=40, max_size=40))
def test_any_mixture_of_escapes_is_unescaped(text: str, choices: list[str | None]):
    pairs = list(zip(text, choices, strict=False))
    written = "".join(form.format(ord(letter)) if form else letter for letter, form in pairs)
    view = unescaping.unescaped(View(f"'{written}'".encode()))
    assert written == text or text.encode() in unwrapped(view)


JOINTS = ('"+"', '" + "', '"\n+ "', '")+("', '" /* x */ + "', '" // x\n + "', '".concat("', "\\\n", '${"')


@MANY
@given(
    parts=st.lists(st.text("abcXYZ_.", min_size=1, max_size=9), min_size=2, max_size=9),
    joint=st.sampled_from(JOINTS),
)
def test_any_parts_are_joined(parts: list[str], joint: str):
    view = joined(View(f'x("{joint.join(parts)}")'.encode()), adjacent=False)
    assert "".join(parts).encode() in unwrapped(view)


@MANY
@given(before=st.integers(0, 60), text=PRINTABLE)
def test_a_text_in_two_bytes_a_letter_is_narrowed(before: int, text: str):
    for encoding in ("utf-16-le", "utf-16-be"):
        view = unescaping.narrowed(
            View(bytes(range(200, 200 + before % 50)) + text.encode(encoding) + b"\xff")
        )
        assert text.encode() in unwrapped(view)
