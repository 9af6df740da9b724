"""Keys, names and modules in one view, and the views that are unwrapped from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sba_supabase.checks.findings import fingerprint
from sba_supabase.scan.base64_cores import cores, decoded, nested
from sba_supabase.scan.joining import assembled, joined
from sba_supabase.scan.rules import SECRET_KEY, SERVER_MODULE, SERVICE_TOKEN, SERVICE_VARIABLE
from sba_supabase.scan.runs import SHORTEST, Runs, places
from sba_supabase.scan.unescaping import narrowed, unescaped
from sba_supabase.scan.variables import resolved
from sba_supabase.scan.views import View
from sba_supabase.scan.wrapping import Spend, from_base64, from_hex, unwrapped_lines

_MARK: Final = b"sb_secret_"
_ROLE: Final = b"service_role"
_NAME: Final = b"SUPABASE_SERVICE_"
_KEY_TEXT: Final = re.compile(rb"sb_secret_(?:[A-Za-z0-9_-]{22}_[A-Za-z0-9_-]{8}|[A-Za-z0-9_-]{16,200})")
_NAME_TEXT: Final = re.compile(rb"SUPABASE_SERVICE_[A-Z0-9_]+")

_PAYLOAD_CORES: Final = cores(_ROLE)
_INNER_CORES: Final = (*cores(_MARK), *nested(_PAYLOAD_CORES))
_WRAPPED_CORES: Final = (*_INNER_CORES, *cores(_NAME), *nested(_INNER_CORES))
_PLAIN: Final = (_MARK, _NAME, *(core.text for core in _PAYLOAD_CORES))
_HEX: Final = tuple(text for plain in _PLAIN for text in (plain.hex().encode(), plain.hex().upper().encode()))
_IN_A_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]+")
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


def _unbounded(_: int) -> None:
    """Let everything be unpacked."""


@dataclass(frozen=True, slots=True)
class Seeker:
    """What to look for in a file.

    Attributes:
        modules: names of server modules; none where the file is not for clients.
        names: whether names of service variables count.
        adjacent: whether literals that follow each other are one.
        spend: told how many bytes were unpacked; raises when they are too many.
    """

    modules: tuple[bytes, ...] = ()
    names: bool = True
    adjacent: bool = False
    spend: Spend = _unbounded

    def matches(self, data: bytes) -> Iterator[Match]:
        """Everything found in the bytes, plain or wrapped; one thing may be found in several ways.

        Raises:
            ExhaustedError: `spend`'s.
        """
        yield from self._seek(View(data))

    def _seek(self, view: View) -> Iterator[Match]:
        runs = Runs(view.data)
        yield from _keys(view, runs)
        yield from _tokens(view, runs)
        if self.names:
            yield from _variables(view, runs)
        yield from self._modules(view, runs)
        if len(view.ways) < _DEEPEST:
            for inner in self._unwrapped(view, runs):
                yield from self._seek(inner)

    def _modules(self, view: View, runs: Runs) -> Iterator[Match]:
        for module in self.modules:
            for offset in places(view.data, module) if _may_hold(runs, module) else ():
                shown = module.decode(errors="replace")
                yield _match(SERVER_MODULE.id, view, offset, f"the server module {shown}", module)

    def _unwrapped(self, view: View, runs: Runs) -> Iterator[View]:
        made: tuple[Callable[[], View | None], ...] = (
            lambda: from_base64(view, runs, _WRAPPED_CORES, self.spend),
            lambda: from_hex(view, filter(runs.hold, _HEX)),
            lambda: unwrapped_lines(view, runs),
            lambda: unescaped(view),
            lambda: joined(view, adjacent=self.adjacent),
            lambda: assembled(view),
            lambda: resolved(view),
            lambda: narrowed(view),
        )
        return (inner for make in made if (inner := make()) is not None)


def _match(rule: str, view: View, offset: int, what: str, secret: bytes) -> Match:
    ways = f" ({', '.join(view.ways)})" if view.ways else ""
    return Match(rule, view.origin(offset), what + ways, fingerprint(secret))


def _may_hold(runs: Runs, text: bytes) -> bool:
    """Whether the bytes may hold a text, by its longest part that a run would have."""
    part: bytes = max(_IN_A_RUN.findall(text), key=len, default=b"")
    return len(part) < SHORTEST or runs.hold(part)


def _keys(view: View, runs: Runs) -> Iterator[Match]:
    for found in _KEY_TEXT.finditer(view.data) if runs.hold(_MARK) else ():
        yield _match(SECRET_KEY.id, view, found.start(), "a secret key", found[0])


def _variables(view: View, runs: Runs) -> Iterator[Match]:
    for found in _NAME_TEXT.finditer(view.data) if runs.hold(_NAME) else ():
        name = found[0].decode()
        yield _match(SERVICE_VARIABLE.id, view, found.start(), f"the name {name}", found[0])


def _tokens(view: View, runs: Runs) -> Iterator[Match]:
    for core in _PAYLOAD_CORES:
        for start, run in runs.around(core):
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
