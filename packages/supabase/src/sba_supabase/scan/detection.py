"""Keys, names and modules in one view, and the views that are unwrapped from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sba_supabase.checks.findings import fingerprint
from sba_supabase.scan.base64_cores import ALPHABET, Core, cores, decoded, nested
from sba_supabase.scan.joining import assembled, joined
from sba_supabase.scan.rules import SECRET_KEY, SERVER_MODULE, SERVICE_TOKEN, SERVICE_VARIABLE
from sba_supabase.scan.unescaping import narrowed, unescaped
from sba_supabase.scan.variables import resolved
from sba_supabase.scan.views import Patchwork, View

_MARK: Final = b"sb_secret_"
_ROLE: Final = b"service_role"
_NAME: Final = b"SUPABASE_SERVICE_"
_KEY_TEXT: Final = re.compile(rb"sb_secret_(?:[A-Za-z0-9_-]{22}_[A-Za-z0-9_-]{8}|[A-Za-z0-9_-]{16,200})")
_NAME_TEXT: Final = re.compile(rb"SUPABASE_SERVICE_[A-Z0-9_]+")

_PAYLOAD_CORES: Final = cores(_ROLE)
_INNER_CORES: Final = (*cores(_MARK), *nested(_PAYLOAD_CORES))
_WRAPPED_CORES: Final = (*_INNER_CORES, *cores(_NAME), *nested(_INNER_CORES))
_WIDE: Final = (_MARK, _NAME, *(core.text for core in _PAYLOAD_CORES))

_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]*")
_LONGEST_RUN: Final = 65_536
_PAYLOAD_ROLE: Final = re.compile(rb'"role"\s*:\s*"service_role"')
_PAYLOAD_CLAIM: Final = re.compile(rb'"(?:iss|ref|iat|exp)"\s*:')
_DEEPEST: Final = 6


@dataclass(frozen=True, slots=True)
class Match:
    """Something found in a file's bytes.

    Attributes:
        rule: the rule's `id`.
        offset: where, from the start of the bytes.
        message: what, without telling it.
        fingerprint: of what.
    """

    rule: str
    offset: int
    message: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Seeker:
    """What to look for in a file.

    Attributes:
        modules: names of server modules; none where the file is not for clients.
        names: whether names of service variables count.
        adjacent: whether literals that follow each other are one.
    """

    modules: tuple[bytes, ...] = ()
    names: bool = True
    adjacent: bool = False

    def matches(self, data: bytes) -> Iterator[Match]:
        """Everything found in the bytes, plain or wrapped; one thing may be found in several ways."""
        yield from self._seek(View(data))

    def _seek(self, view: View) -> Iterator[Match]:
        yield from _keys(view)
        yield from _tokens(view)
        if self.names:
            yield from _variables(view)
        yield from self._modules(view)
        if len(view.ways) < _DEEPEST:
            for inner in self._unwrapped(view):
                yield from self._seek(inner)

    def _modules(self, view: View) -> Iterator[Match]:
        for module in self.modules:
            for offset in _places(view.data, module):
                shown = module.decode(errors="replace")
                yield _match(SERVER_MODULE.id, view, offset, f"the server module {shown}", module)

    def _unwrapped(self, view: View) -> Iterator[View]:
        made = (
            _unwrapped_base64(view),
            unescaped(view),
            joined(view, adjacent=self.adjacent),
            assembled(view),
            resolved(view),
            narrowed(view, _WIDE),
        )
        return (inner for inner in made if inner is not None)


def _match(rule: str, view: View, offset: int, what: str, secret: bytes) -> Match:
    ways = f" ({', '.join(view.ways)})" if view.ways else ""
    return Match(rule, view.origin(offset), what + ways, fingerprint(secret))


def _places(data: bytes, text: bytes) -> Iterator[int]:
    position = data.find(text)
    while position >= 0:
        yield position
        position = data.find(text, position + len(text))


def _keys(view: View) -> Iterator[Match]:
    for found in _KEY_TEXT.finditer(view.data):
        yield _match(SECRET_KEY.id, view, found.start(), "a secret key", found[0])


def _variables(view: View) -> Iterator[Match]:
    for found in _NAME_TEXT.finditer(view.data):
        name = found[0].decode()
        yield _match(SERVICE_VARIABLE.id, view, found.start(), f"the name {name}", found[0])


def _runs(data: bytes, core: Core) -> Iterator[tuple[int, bytes]]:
    """The start and the text of every base64 run that holds a core, cut where its groups begin."""
    seen = -1
    for place in _places(data, core.text):
        if place < seen:
            continue
        before = data[max(0, place - _LONGEST_RUN) : place]
        length = len(before) - len(before.rstrip(ALPHABET))
        start = place - length + (length - core.phase) % 4
        end = _RUN.match(data, place, place + _LONGEST_RUN)
        seen = end.end() if end else place
        if start <= place:
            yield start, data[start:seen]


def _tokens(view: View) -> Iterator[Match]:
    for core in _PAYLOAD_CORES:
        for start, run in _runs(view.data, core):
            payload = decoded(run)
            if _is_service(payload):
                yield _match(SERVICE_TOKEN.id, view, start, "a token of the role service_role", payload)


def _is_service(payload: bytes) -> bool:
    """Whether these are a service token's claims; of claims that are cut off, whether they read as such."""
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        return _PAYLOAD_ROLE.search(payload) is not None and _PAYLOAD_CLAIM.search(payload) is not None
    return isinstance(claims, dict) and claims.get("role") == _ROLE.decode()


def _unwrapped_base64(view: View) -> View | None:
    made = Patchwork(view, "base64", straight=False)
    for core in _WRAPPED_CORES:
        for start, run in _runs(view.data, core):
            made.add(decoded(run), start)
            made.separate()
    return made.view()
