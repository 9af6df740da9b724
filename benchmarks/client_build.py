r"""A build of a web client as bundlers write them, made up, the same each time, without findings.

Shares of the bytes once unpacked, in percent (the names are the folders):

- `js` 28: minified JavaScript: calls, elements, sums and templates of literals, escapes, classes, digests,
  a few inlined images
- `map` 26: source maps: `sourcesContent` with the code as JSON writes it, and `mappings`
- `packed` 20: the same JavaScript as gz and as br, in halves
- `image` 10, `font` 4: a header and bytes that no longer compress
- `wasm` 5: instructions with many zero bytes, and a segment of texts
- `style` 3: CSS with fonts inlined as base64
- `text` 4: languages as JSON with `\u` escapes, HTML with references, SVG with percent escapes
"""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import brotli

PIECE = 500_000  # bytes of a file, about
WORDS = 4_000
STATEMENTS = 6_000
SHARES = {"js": 28, "map": 26, "packed": 20, "image": 10, "wasm": 5, "font": 4, "text": 4, "style": 3}
VLQ = "ACDEFGHIJKLMNOPQSTUWXYZabcegikmoqsuwy0246"
FORMS = (
    'function {a}({b},{c}){{return {b}.{d}("{e} {f}\\n"+{c},"/{e}")}}',
    '(0,{a}.jsx)("div",{{className:"{b}-{c} md:{d} px-4",children:{e}.{f}}})',
    'if({a}===void 0||null==={b})throw Error("{c} {d}: "+{e}+" is not a {f}");',
    "let {a}=`${{{b}}}/{c}/${{{d}.{e}}}?{f}=1`,{f}={b}||[];",
    '"{a}".concat({b},"-").concat({c}," {d}");',
    '{a}.exports=JSON.parse(\'{{"{b}":"{c}","{d}":[1,2,3]}}\');',
    'var {a}=["{b}","{c}","{d}","{e}"].join(" "),{f}=/^[a-z0-9_-]{{3,}}\\s*$/i;',
    'Object.defineProperty({a},"{b}",{{enumerable:!0,get:function(){{return {c}.{d}}}}});',
    "for(let {a}=0;{a}<{b}.length;{a}++){c}[{a}]={b}[{a}]<<2|{d}>>>4&255;",
    '{a}("https://example.com/{b}/"+encodeURIComponent({c})+"?{d}=%20{e}&amp;x=\\u00e9\\x41");',
    'e.t("{a}.{b}.{c}",{{count:{d},defaultValue:"{e} {f} {a}"}}),',
)
SENTENCES = (
    "Verlängern Sie die Prüfung für ",
    "请先登录然后再试一次。",
    "Войдите, чтобы продолжить. ",
    "続行するには",
)


def minified(words: list[str], choose: random.Random) -> list[str]:
    """Statements, a few with what is rare in code: digests, inlined images, long texts."""
    made = []
    for number in range(STATEMENTS):
        names = dict(zip("abcdef", choose.choices(words, k=6), strict=True))
        made.append(choose.choice(FORMS).format(**names))
        if number % 200 == 0:
            image = base64.b64encode(choose.randbytes(choose.randint(60, 900))).decode()
            made.append(f'var {names["a"]}="data:image/png;base64,{image}";')
        if number % 50 == 0:
            made.append(f'{names["a"]}.{names["b"]}="{choose.randbytes(20).hex()}";')
    return made


class Build:
    """Files of each kind.

    Args:
        seed: of what is chosen.
    """

    def __init__(self, seed: int) -> None:
        self._choose = random.Random(seed)  # noqa: S311 - the same build each time
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._words = [
            "".join(self._choose.choices(letters, k=self._choose.randint(1, 9))) for _ in range(WORDS)
        ]
        self._statements = minified(self._words, self._choose)
        self._kinds: dict[str, Callable[[int], tuple[str, bytes]]] = {
            "js": self._script,
            "map": self._map,
            "packed": self._packed,
            "image": self._image,
            "wasm": self._wasm,
            "font": self._font,
            "text": self._text,
            "style": self._style,
        }

    def write(self, folder: Path, megabytes: int) -> None:
        """Write files of every kind, each kind to its share."""
        for kind, share in SHARES.items():
            place = folder / kind
            place.mkdir()
            for number in range(max(1, round(megabytes * share / 100 * 1e6 / PIECE))):
                name, data = self._kinds[kind](number)
                (place / f"{number}{name}").write_bytes(data)

    def _code(self, size: int, between: str = "") -> str:
        average = sum(map(len, self._statements)) / len(self._statements) + len(between)
        return between.join(self._choose.choices(self._statements, k=int(size / average)))

    def _script(self, _: int) -> tuple[str, bytes]:
        return ".js", self._code(PIECE).encode()

    def _map(self, _: int) -> tuple[str, bytes]:
        source = [self._code(PIECE // 14, "\n    ") for _ in range(10)]
        segments = ("".join(self._choose.choices(VLQ, k=4)) for _ in range(PIECE // 20))
        mappings = ",".join(segments).replace(",A", ";A")
        names = [f"webpack://_N_E/./src/{word}/{word}.tsx" for word in self._words[:10]]
        document = {"version": 3, "sources": names, "sourcesContent": source, "mappings": mappings}
        return ".js.map", json.dumps(document).encode()

    def _packed(self, number: int) -> tuple[str, bytes]:
        text = self._code(PIECE).encode()
        return (
            (".js.gz", gzip.compress(text, 6)) if number % 2 else (".js.br", brotli.compress(text, quality=5))
        )

    def _image(self, number: int) -> tuple[str, bytes]:
        start = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBPVP8 ")[number % 3]
        return (".png", ".jpg", ".webp")[number % 3], start + self._choose.randbytes(PIECE)

    def _font(self, _: int) -> tuple[str, bytes]:
        return ".woff2", b"wOF2\0\1\0\0" + self._choose.randbytes(PIECE)

    def _wasm(self, _: int) -> tuple[str, bytes]:
        opcodes = bytes([0, 0, 0, 0, 0x20, 0x20, 0x21, 0x41, 0x41, 0x6A, 0x0B, 0x10, 0x28, 0x36, *range(128)])
        code = bytes(self._choose.choices(opcodes, k=PIECE * 3 // 4))
        texts = "\0".join(self._choose.choices(self._words, k=PIECE // 4 // 6)).encode()
        return ".wasm", b"\0asm\1\0\0\0" + code + texts

    def _style(self, _: int) -> tuple[str, bytes]:
        font = base64.b64encode(self._choose.randbytes(PIECE // 4)).decode()
        rules = (
            f".{word}-{number}{{margin:0 {number % 9}px;color:#{number % 4096:03x}}}"
            for number, word in enumerate(self._words * 5)
        )
        face = f"@font-face{{font-family:x;src:url(data:font/woff2;base64,{font})}}"
        return ".css", (face + "".join(rules)).encode()[:PIECE]

    def _text(self, number: int) -> tuple[str, bytes]:
        pick = self._choose.choice
        lines = [pick(SENTENCES) + pick(self._words) for _ in range(PIECE // 60)]
        if number % 3 == 0:
            return ".json", json.dumps(dict(enumerate(lines))).encode()
        if number % 3 == 1:
            escaped = (line.encode("ascii", "xmlcharrefreplace").decode() for line in lines)
            return ".html", "\n".join(
                f"<p title='&quot;x&#39;s'>{line}&nbsp;</p>" for line in escaped
            ).encode()
        tile = "data:image/svg+xml,%3Csvg xmlns=%27http://www.w3.org/2000/svg%27%3E%3Cpath d=%27M0 0h9%27/%3E"
        return ".svg", "\n".join(f'<image href="{tile}" id="{line}"/>' for line in lines).encode()
