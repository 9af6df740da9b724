"""Keys of every kind, and every way to hide one in a file."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from urllib.parse import quote

import brotli

Wrap = Callable[[str, random.Random], str]
Pack = Callable[[bytes], bytes]


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def secret_key(choose: random.Random) -> str:
    return "sb_" + f"secret_{b64url(choose.randbytes(32))[:22]}_{b64url(choose.randbytes(6))}"


def publishable_key(choose: random.Random) -> str:
    return f"sb_publishable_{b64url(choose.randbytes(32))[:22]}_{b64url(choose.randbytes(6))}"


def legacy_key(role: str, choose: random.Random, **claims: object) -> str:
    """A key as projects had them: a token with a role."""
    members = {"iss": "supabase", "ref": b64url(choose.randbytes(15)), "role": role, "iat": 1, "exp": 2}
    names = list(members := {**members, **claims})
    choose.shuffle(names)
    payload = json.dumps({name: members[name] for name in names}, indent=choose.choice([None, 2]))
    header = json.dumps({"alg": "HS256", "typ": "JWT"}, separators=(",", ":"))
    parts = (header.encode(), payload.encode(), choose.randbytes(32))
    return ".".join(map(b64url, parts))


def pieces(text: str, choose: random.Random) -> list[str]:
    """The text in parts of one to twelve letters."""
    parts = []
    while text:
        size = choose.randint(1, 12)
        parts.append(text[:size])
        text = text[size:]
    return parts


def plain(text: str, choose: random.Random) -> str:
    return f'const k = "{text}";'


def percent(text: str, choose: random.Random) -> str:
    escaped = "".join(f"%{ord(letter):02x}" if choose.random() < 0.7 else letter for letter in text)
    return f"fetch('/x?k={escaped}&y')"


def percent_twice(text: str, choose: random.Random) -> str:
    return quote(percent(text, choose), safe="")


def hexadecimal(text: str, choose: random.Random) -> str:
    return "k='" + "".join(f"\\x{ord(letter):02X}" for letter in text) + "'"


def unicode_escapes(text: str, choose: random.Random) -> str:
    forms = ("\\u00{:02x}", "\\u{{{:x}}}", "\\x{:02x}")
    return "k='" + "".join(choose.choice(forms).format(ord(letter)) for letter in text) + "'"


def octal(text: str, choose: random.Random) -> str:
    return "k='" + "".join(f"\\{ord(letter):03o}" for letter in text) + "'"


def references(text: str, choose: random.Random) -> str:
    forms = ("&#x{:x};", "&#{};", "&#X{:X};")
    return "<p title='" + "".join(choose.choice(forms).format(ord(letter)) for letter in text) + "'>"


def base64_once(text: str, choose: random.Random) -> str:
    before = "x" * choose.randint(0, 5)
    return f'atob("{base64.b64encode((before + text).encode()).decode()}")'


def base64_twice(text: str, choose: random.Random) -> str:
    return base64_once(base64.urlsafe_b64encode(text.encode()).decode(), choose)


def added(text: str, choose: random.Random) -> str:
    joints = ('" + "', '"+"', '" +\n    "', '" /* and */ + "', '"+("', '") + "')
    return '"' + choose.choice(joints).join(pieces(text, choose)) + '"'


def concatenated(text: str, choose: random.Random) -> str:
    first, *rest = pieces(text, choose)
    return f'"{first}"' + "".join(f".concat('{piece}')" for piece in rest)


def template(text: str, choose: random.Random) -> str:
    middle = len(text) // 2
    return f'`{text[:5]}${{"{text[5:middle]}"}}{text[middle:]}`'


def array(text: str, choose: random.Random) -> str:
    return json.dumps(pieces(text, choose)) + '.join("")'


def dots(text: str, choose: random.Random) -> str:
    return json.dumps(text.split(".")) + ".join('.')"


def continued(text: str, choose: random.Random) -> str:
    return 'k = "' + "\\\n".join(pieces(text, choose)) + '"'


def char_codes(text: str, choose: random.Random) -> str:
    return f"String.fromCharCode({', '.join(str(ord(letter)) for letter in text)})"


def source_map(text: str, choose: random.Random) -> str:
    return json.dumps({"version": 3, "sources": ["a.ts"], "sourcesContent": [added(text, choose)]})


def inline_map(text: str, choose: random.Random) -> str:
    inner = base64.b64encode(source_map(text, choose).encode()).decode() if choose.random() < 0 else None
    inner = inner or base64.b64encode(json.dumps({"sourcesContent": [plain(text, choose)]}).encode()).decode()
    return f"//# sourceMappingURL=data:application/json;base64,{inner}"


def base64_added(text: str, choose: random.Random) -> str:
    return added(base64.b64encode(text.encode()).decode(), choose)


def percent_added(text: str, choose: random.Random) -> str:
    halves = percent(text, choose)
    return f'"{halves[:20]}"+"{halves[20:]}"' if halves[19] != "%" and halves[18] != "%" else f'"{halves}"'


def variables_added(text: str, choose: random.Random) -> str:
    """Parts in variables, added up later; the first is long enough to look like a key's."""
    parts = [text[:10], *pieces(text[10:], choose)]
    assigned = "".join(f"const p{number} = '{part}';\n" for number, part in enumerate(parts))
    return assigned + "f(" + " + ".join(f"p{number}" for number in range(len(parts))) + ")"


def members_listed(text: str, choose: random.Random) -> str:
    parts = {"a": text[:20], "b": text[20:40], "c": text[40:]}
    return (
        f"const o = {json.dumps(parts)}; [o.a, o.b, o.c].join('')".replace('"a"', "a")
        .replace('"b"', "b")
        .replace('"c"', "c")
    )


def variables_in_a_template(text: str, choose: random.Random) -> str:
    middle = len(text) // 2
    return f'let a="{text[:middle]}",b="{text[middle:]}";g(`${{a}}${{b}}`)'


def variable_before_the_rest(text: str, choose: random.Random) -> str:
    begin = choose.randrange(3, 12)
    return f'const a="{text[:begin]}";g(`${{a}}{text[begin:]}`)'


def base64_percent(text: str, choose: random.Random) -> str:
    return quote(base64.b64encode(text.encode()).decode(), safe="").replace("a", "%61")


WRAPS: tuple[Wrap, ...] = (
    plain, percent, percent_twice, hexadecimal, unicode_escapes, octal, references, base64_once, base64_twice,
    added, concatenated, template, array, dots, continued, char_codes, source_map, inline_map, base64_added,
    percent_added, base64_percent, variables_added, members_listed, variables_in_a_template,
    variable_before_the_rest,
)  # fmt: skip


def as_is(data: bytes) -> bytes:
    return data


def layer(data: bytes, *, compression: str = "") -> bytes:
    """A container layer that holds a bundle."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{compression}") as archive:
        member = tarfile.TarInfo("app/dist/main.js")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def image(data: bytes) -> bytes:
    """A saved image: a tar of layers, one of them compressed."""
    return layer(layer(gzip.compress(data), compression="gz"))


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", "")
        archive.writestr("folder/main.js", data)
    return out.getvalue()


def wasm(data: bytes) -> bytes:
    return b"\0asm\1\0\0\0" + bytes(range(256)) + data + b"\xff" * 64


def wide(data: bytes) -> bytes:
    return b"\0asm\1\0\0\0\0" + data.decode().encode("utf-16-le")


PACKS: dict[str, Pack] = {
    "main.js": as_is,
    "main.js.gz": gzip.compress,
    "main.js.br": brotli.compress,
    "main.js.bz2": bz2.compress,
    "main.js.xz": lzma.compress,
    "main.wasm": wasm,
    "layer.tar": layer,
    "image.tar": image,
    "bundle.zip": zipped,
    "main.js.map": as_is,
}
