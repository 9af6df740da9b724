"""Secrets taken out of anything that is about to be written down."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Final, cast

from sba_telemetry.words import words

REDACTED: Final = "[redacted]"

_SECRET_WORDS: Final = frozenset(
    {"apikey", "apikeys", "authorization", "cookie", "cookies", "credential", "credentials", "jwt"}
    | {"passphrase", "passwd", "password", "passwords", "pgpassword", "pwd", "secret", "secrets"}
)
_KEYS_THAT_OPEN: Final = frozenset(
    {"access", "anon", "api", "encryption", "private", "role", "secret", "service", "signing"}
)
_PLAIN: Final = (bool, int, float, complex, decimal.Decimal, uuid.UUID, dt.date, dt.time, dt.timedelta)
_DEPTH: Final = 24

_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END[A-Z ]*-----|\Z)", re.DOTALL
)
_WHOLE_LINE: Final = re.compile(r"\b(authorization|cookie)(\s*[:=]\s*)(?!\s*[\"'\\])[^\r\n]+", re.IGNORECASE)
_ASSIGNED: Final = re.compile(
    r"(token|authorization|cookie|passwords?|passwd|pwd|passphrase|secrets?|api[-_ ]?keys?|credentials?|jwt"
    r"|(?:access|anon|encryption|private|role|signing)[-_ ]?key)"
    r"(\\*[\"']?\s*(?:[:=]>?|(?<=[\"']),)\s*b?)"
    r"(\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s\"']\S*)",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS: Final = re.compile(r"(://[^\s/?#:@]*:)(\S+)")
_SHAPES: Final = re.compile(
    r"eyJ[\w-]{8,}(?:\.[\w-]*)*"
    r"|sb_secret_[\w-]{8,}"
    r"|(?<![A-Za-z0-9])(?:sbp_|sk-|gh[opsu]_|github_pat_|xox[abprs]-|AKIA|AIza)[\w-]{8,}"
    r"|(?i:(?<=\bbearer\s)\s*\S{8,})"
    r"|(?i:(?<=\bbasic\s))\s*(?=[a-z+/]*[A-Z0-9=])[A-Za-z0-9+/]{8,}={0,2}"
)
_HINTS: Final = (
    "token", "authorization", "cookie", "passw", "pwd", "passphrase", "secret", "key", "credential", "jwt",
)  # fmt: skip
_SHAPE_HINTS: Final = (
    "eyJ", "sb_secret_", "sbp_", "sk-", "gho_", "ghp_", "ghs_", "ghu_", "github_pat_", "xox", "AKIA", "AIza",
)  # fmt: skip


def redact(value: object) -> object:
    """Return a copy of a value without its secrets, made of plain data only.

    A secret is whatever stands under a telling name (authorization, cookie, password, secret, token, API or
    private key, …) and whatever has a telling shape in any text: JSON web tokens, ``sb_secret_`` and other
    vendors' keys, bearer and basic credentials, passwords inside addresses, ``name=value`` pairs, PEM keys.

    Args:
        value: Anything. Mappings, sequences, sets and dataclasses are walked; a ``(name, value)`` pair counts
            as an entry of a mapping; objects that are not plain data become their redacted ``repr``.

    Returns:
        Strings, numbers, dates, UUIDs, dicts and lists; the given value is not changed.
    """
    return _walk(value, ())


def redact_text(text: str) -> str:
    """Return a text with every part that has the shape of a secret replaced."""
    if "-----BEGIN" in text:
        text = _PRIVATE_KEY.sub(REDACTED, text)
    if "://" in text:
        text = _ADDRESS.sub(_without_password, text)
    lowered = text.lower()
    if any(hint in text for hint in _SHAPE_HINTS) or "bearer" in lowered or "basic" in lowered:
        text = _SHAPES.sub(REDACTED, text)
    if any(hint in lowered for hint in _HINTS):
        text = _WHOLE_LINE.sub(rf"\1\2{REDACTED}", text)
        text = _ASSIGNED.sub(rf"\1\2{REDACTED}", text)
    return text


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether what is stored under this name must not be shown."""
    parts = words(name)
    if not parts:
        return False
    if not _SECRET_WORDS.isdisjoint(parts) or parts[-1] == "token":
        return True
    return len(parts) > 1 and parts[-1] in {"key", "keys"} and parts[-2] in _KEYS_THAT_OPEN


def _without_password(match: re.Match[str]) -> str:
    head, rest = match.groups()
    password, at, place = cast("str", rest).rpartition("@")
    return f"{head}{REDACTED}@{place}" if at and password else match.group()


def _walk(value: object, above: tuple[int, ...]) -> object:
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return redact_text(bytes(value).decode("utf-8", "backslashreplace"))
    if id(value) in above or len(above) >= _DEPTH:
        return "…"
    return _walk_inside(value, (*above, id(value)))


def _walk_inside(value: object, above: tuple[int, ...]) -> object:
    if isinstance(value, enum.Enum):
        return _walk(value.value, above)
    if isinstance(value, Mapping):
        return {name: _entry(name, inner, above) for name, inner in _named(value)}
    if is_dataclass(value) and not isinstance(value, type):
        shown = (field.name for field in fields(value) if field.repr)
        return {name: _entry(name, getattr(value, name), above) for name in shown}
    if isinstance(value, Sequence | Set):
        return _walk_items(list(value), above)
    return redact_text(_described(value))


def _described(value: object) -> str:
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else repr(value)
    except Exception:  # noqa: BLE001 - an object that cannot describe itself must not break the one that logs it
        return f"<{type(value).__name__}>"


def _walk_items(items: list[object], above: tuple[int, ...]) -> list[object]:
    if len(items) == 2 and isinstance(items[0], str | bytes):  # noqa: PLR2004 - a pair is a name and its value
        name = _name(items[0])
        return [name, _entry(name, items[1], above)]
    return [_walk(item, above) for item in items]


def _named(mapping: Mapping[object, object]) -> Iterator[tuple[str, object]]:
    for name, value in mapping.items():
        yield _name(name), value


def _entry(name: str, value: object, above: tuple[int, ...]) -> object:
    if value is None or isinstance(value, bool) or not is_secret_name(name):
        return _walk(value, above)
    return REDACTED


def _name(name: object) -> str:
    raw = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
    return _clean_name(raw)


@lru_cache(maxsize=4096)
def _clean_name(name: str) -> str:
    return redact_text(name)
