"""More ways to hide a key in a file: one inside another, and those that no bundler writes by itself."""

from __future__ import annotations

import base64
import gzip
import html
import json
import random
import zlib
from collections.abc import Callable

from tests.unit.supabase.planting import (
    Wrap,
    added,
    base64_once,
    hexadecimal,
    percent,
    pieces,
    references,
    wide,
)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def hex_digits(text: str, choose: random.Random) -> str:
    digits = text.encode().hex()
    return f'Buffer.from("{choose.choice((digits, digits.upper()))}", "hex")'


def named_references(text: str, choose: random.Random) -> str:
    name = choose.choice(("lowbar", "UnderBar"))
    return f'<p title="{text.replace("_", f"&{name};").replace(".", "&period;")}">'


def open_references(text: str, choose: random.Random) -> str:
    return "<p title='" + "".join(f"&#{ord(letter)}" for letter in text) + "'>"


def references_twice(text: str, choose: random.Random) -> str:
    return html.escape(references(text, choose))


def percent_u(text: str, choose: random.Random) -> str:
    return "unescape('" + "".join(f"%u00{ord(letter):02X}" for letter in text) + "')"


def base64_thrice(text: str, choose: random.Random) -> str:
    return f'"{_base64(_base64(_base64(text.encode()).encode()).encode())}"'


def base64_of_a_sum(text: str, choose: random.Random) -> str:
    document = json.dumps({"version": 3, "sourcesContent": [f"const k = {added(text, choose)}"]})
    return f"//# sourceMappingURL=data:application/json;base64,{_base64(document.encode())}"


def base64_of_escapes(text: str, choose: random.Random) -> str:
    return f'"{_base64(choose.choice((percent, hexadecimal))(text, choose).encode())}"'


def base64_of_gzip(text: str, choose: random.Random) -> str:
    return f'"{_base64(gzip.compress(json.dumps({"a": [1, 2], "k": text}).encode()))}"'


def base64_of_zlib(text: str, choose: random.Random) -> str:
    level = choose.choice((1, 6, 9))
    return f'"{_base64(zlib.compress(json.dumps({"a": [1, 2], "k": text}).encode(), level))}"'


def base64_of_wide(text: str, choose: random.Random) -> str:
    return f'"{_base64(f"k = {text};".encode("utf-16-le"))}"'


def base64_lines(text: str, choose: random.Random) -> str:
    """As mail, and as configuration writes it."""
    around = b"x" * choose.randint(0, 90)
    lines = base64.encodebytes(around + text.encode() + b"y" * 90).decode().splitlines()
    between = choose.choice(("\n", "\r\n", "\n    ", "\\n"))
    return f"data: |{between}{between.join(lines)}\n"


def numbers(text: str, choose: random.Random) -> str:
    write = choose.choice((str, hex))
    between = choose.choice((",", ", ", ",\n  "))
    return f"new Uint8Array([{between.join(write(code) for code in text.encode())}])"


def grown(text: str, choose: random.Random) -> str:
    first, *rest = [text[:9], *pieces(text[9:], choose)]
    return f"let k = '{first}'; " + " ".join(f"k += '{piece}';" for piece in rest)


def commented(text: str, choose: random.Random) -> str:
    return f'"{text[:9]}" // the first part\n  + "{text[9:]}"'


def concatenated_at_once(text: str, choose: random.Random) -> str:
    return '"".concat("' + '", "'.join(pieces(text, choose)) + '")'


def variables_concatenated(text: str, choose: random.Random) -> str:
    return f'var a="{text[:12]}",b="{text[12:30]}",c="{text[30:]}";a.concat(b, c)'


def members_by_name(text: str, choose: random.Random) -> str:
    return f'const o={{p:"{text[:12]}",q:"{text[12:]}"}};f(o["p"]+o["q"])'


def map_in_a_map(text: str, choose: random.Random) -> str:
    return json.dumps({"sourcesContent": [json.dumps({"sourcesContent": [added(text, choose)]})]})


def evaluated(text: str, choose: random.Random) -> str:
    return f"eval({json.dumps(f'var k = {added(text, choose)}; //# sourceURL=webpack')})"


DISGUISES: tuple[Wrap, ...] = (
    hex_digits, named_references, open_references, references_twice, percent_u, base64_thrice,
    base64_of_a_sum, base64_of_escapes, base64_of_gzip, base64_of_zlib, base64_of_wide, base64_lines, numbers,
    grown, commented, concatenated_at_once, variables_concatenated, members_by_name, map_in_a_map,
    evaluated,
)  # fmt: skip


def wide_sum(text: str, choose: random.Random) -> bytes:
    return wide(added(text, choose).encode())


def wide_base64(text: str, choose: random.Random) -> bytes:
    return base64_once(text, choose).encode("utf-16")


WIDE: tuple[Callable[[str, random.Random], bytes], ...] = (wide_sum, wide_base64)
