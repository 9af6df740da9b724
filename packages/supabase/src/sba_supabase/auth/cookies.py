"""Sessions in cookies, byte for byte as the server client of @supabase/ssr writes and reads them."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal
from urllib.parse import quote, unquote, urlsplit

CHUNK: Final = 3180
PREFIX: Final = "base64-"
VERIFIER: Final = "-code-verifier"
LIFETIME: Final = 400 * 24 * 3600  # the longest browsers keep a cookie

_COMPONENT_SAFE = "-_.!~*'()"  # what encodeURIComponent leaves as it is
_IGNORED = str.maketrans("", "", " \t\n\r=")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DOMAIN = re.compile(r"\.?[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*")
_PATH = re.compile(r"/[!-:<-~]*")
_ESCAPE = 3
_NO_STORE = (
    ("cache-control", "private, no-cache, no-store, must-revalidate, max-age=0"),
    ("expires", "0"),
    ("pragma", "no-cache"),
)

SameSite = Literal["Strict", "Lax"]


def cookie_name(url: str) -> str:
    """The session cookie of the project at `url`: `sb-<ref>-auth-token`."""
    return f"sb-{(urlsplit(url).hostname or '').split('.')[0]}-auth-token"


def encode(text: str) -> str:
    """A stored JSON text as cookies carry it."""
    return PREFIX + urlsafe_b64encode(text.encode(errors="backslashreplace")).decode().rstrip("=")


def decode(value: str) -> str | None:
    """The stored text of a cookie's value, None for one put together of the chunks of several writes."""
    if not value.startswith(PREFIX):
        return unquote(value) if value.startswith("%") else value
    data = value.removeprefix(PREFIX).translate(_IGNORED)
    try:
        text = urlsafe_b64decode(data + "=" * (-len(data) % 4)).decode()
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return text


def _head(encoded: str) -> str:
    """The longest beginning of an URI-encoded text that fits a chunk and ends with a whole character."""
    head = encoded[:CHUNK]
    escape = head.rfind("%")
    if escape > CHUNK - _ESCAPE:
        head = head[:escape]
    while not _is_whole(head):
        head = head[:-_ESCAPE]
    return head


def _is_whole(encoded: str) -> bool:
    try:
        unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def chunks(name: str, value: str) -> Iterator[tuple[str, str]]:
    """A value as one cookie, or as several numbered ones of at most `CHUNK` URI-encoded characters.

    Yields:
        Name and value of each.
    """
    encoded = quote(value, safe=_COMPONENT_SAFE)
    if len(encoded) <= CHUNK:
        yield name, value
        return
    for number in count():
        if not encoded:
            return
        head = _head(encoded)
        yield f"{name}.{number}", unquote(head)
        encoded = encoded[len(head) :]


def join(name: str, cookies: Mapping[str, str]) -> str | None:
    """The value of a cookie, whole or put together of its chunks; None when it is absent or empty."""
    if cookies.get(name):
        return cookies[name]
    parts: list[str] = []
    for number in count():
        part = cookies.get(f"{name}.{number}")
        if not part:
            break
        parts.append(part)
    return "".join(parts) or None


def is_chunk(candidate: str, name: str) -> bool:
    """Whether a cookie is `name`, or a numbered chunk of it."""
    rest = candidate.removeprefix(name)
    return candidate.startswith(name) and (not rest or re.fullmatch(r"\.(0|[1-9][0-9]*)", rest) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieOptions:
    """Where the cookies of a session are valid. They are always `HttpOnly; Secure`.

    Attributes:
        name: of the session's cookie; `sb-<ref>-auth-token` when empty.
        domain: the domain that shares it; the host alone when empty.
        path: below which it is sent.

    Raises:
        ValueError: one of them cannot stand in a Set-Cookie header.
    """

    name: str = ""
    domain: str = ""
    path: str = "/"

    def __post_init__(self) -> None:
        checks = ((_NAME, self.name), (_DOMAIN, self.domain), (_PATH, self.path))
        if any(text and not pattern.fullmatch(text) for pattern, text in checks):
            raise ValueError("a name, domain or path that cannot stand in a Set-Cookie header")


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A cookie for the browser to keep, or with an empty value to forget.

    Attributes:
        name: what it is called.
        value: nothing that would need quoting.
        same_site: `Strict`, or `Lax` for what must survive the way back from a sign-in elsewhere.
        domain: as in `CookieOptions`.
        path: as in `CookieOptions`.
    """

    name: str
    value: str
    same_site: SameSite = "Strict"
    domain: str = ""
    path: str = "/"

    def __repr__(self) -> str:
        return f"SetCookie({self.name!r})"

    @property
    def max_age(self) -> int:
        """Seconds the browser keeps it."""
        return LIFETIME if self.value else 0

    def header(self) -> str:
        """The value of the Set-Cookie header."""
        domain = f"; Domain={self.domain}" if self.domain else ""
        return (
            f"{self.name}={self.value}; Max-Age={self.max_age}{domain}; Path={self.path}"
            f"; HttpOnly; Secure; SameSite={self.same_site}"
        )


class CookieJar:
    """The cookies of one request, and what its response is to change of them.

    Args:
        cookies: name and value of each the request brought.
        options: where those it sets are valid.
    """

    def __init__(self, cookies: Mapping[str, str], options: CookieOptions) -> None:
        self._brought = dict(cookies)
        self._written: dict[str, str | None] = {}
        self._options = options

    def read(self, key: str) -> str | None:
        """A stored text, None when it is absent or damaged."""
        if key in self._written:
            return self._written[key]
        value = join(key, self._brought)
        return None if value is None else decode(value)

    def write(self, key: str, text: str) -> None:
        """Store a text."""
        self._written[key] = text

    def remove(self, key: str) -> None:
        """Store it no longer."""
        self._written[key] = None

    def changes(self) -> list[SetCookie]:
        """What the browser must be told, and nothing it knows: what to forget, then what to keep."""
        wanted = [cookie for key, text in self._written.items() for cookie in self._wanted(key, text)]
        names = {name for name, _, _ in wanted}
        gone = [
            (name, key)
            for key in self._written
            for name in self._brought
            if is_chunk(name, key) and name not in names
        ]
        news = [cookie for cookie in wanted if self._brought.get(cookie[0]) != cookie[1]]
        return [
            *(self._cookie(name, "", key) for name, key in gone),
            *(self._cookie(name, value, key) for name, value, key in news),
        ]

    def headers(self) -> list[tuple[str, str]]:
        """The response headers that carry the changes; with a change, none may keep the response."""
        changes = self.changes()
        if not changes:
            return []
        return [*(("set-cookie", header) for header in self._told(changes)), *_NO_STORE]

    def _wanted(self, key: str, text: str | None) -> Iterator[tuple[str, str, str]]:
        if text is not None:
            yield from ((name, value, key) for name, value in chunks(key, encode(text)))

    def _cookie(self, name: str, value: str, key: str) -> SetCookie:
        same_site: SameSite = "Lax" if key.endswith(VERIFIER) else "Strict"
        return SetCookie(name, value, same_site, self._options.domain, self._options.path)

    def _told(self, changes: Iterable[SetCookie]) -> Iterator[str]:
        """Each change; one that a domain shares is also forgotten where it was the host's alone."""
        for cookie in changes:
            if cookie.domain and not cookie.value:
                yield SetCookie(cookie.name, "", cookie.same_site, "", cookie.path).header()
            yield cookie.header()
