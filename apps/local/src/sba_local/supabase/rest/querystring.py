"""The query string as a whole: which parameter is a filter, for which resource, and which is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl

from sba_local.supabase.rest.conditions import Condition, looks_like_filter, parse_comparison, parse_group
from sba_local.supabase.rest.errors import ParseError, bad_range
from sba_local.supabase.rest.fields import Field, read_path
from sba_local.supabase.rest.ordering import Term, parse_order
from sba_local.supabase.rest.scanner import Scanner
from sba_local.supabase.rest.selection import EVERYTHING, Item, parse_select

_ONCE: Final = frozenset({"select", "columns", "on_conflict"})
_WORDS: Final = frozenset({"order", "limit", "offset", "and", "or"})
_MOST: Final = 2**63 - 1
Path = tuple[str, ...]


@dataclass(slots=True)
class Scope:
    """What was asked of one resource, the outer one or an embedded one."""

    conditions: list[Condition] = field(default_factory=list)
    order: tuple[Term, ...] = ()
    limit: int | None = None
    offset: int = 0


@dataclass(slots=True)
class Query:
    """A parsed query string.

    Attributes:
        items: the `select`.
        scopes: filters, order and range by the path of the resource; () is the outer one.
        columns: the `columns` parameter.
        on_conflict: the columns that tell duplicates.
        arguments: of a function called with GET.
    """

    items: tuple[Item, ...] = EVERYTHING
    scopes: dict[Path, Scope] = field(default_factory=lambda: {(): Scope()})
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: list[tuple[str, str]] = field(default_factory=list)

    @property
    def outer(self) -> Scope:
        """What was asked of the resource itself."""
        return self.scopes[()]

    def scope(self, path: Path) -> Scope:
        """What was asked of the resource at a path."""
        return self.scopes.setdefault(path, Scope())


def parse_query(raw: bytes, *, call: bool = False) -> Query:
    """Parse a query string.

    Args:
        raw: as it was sent.
        call: whether parameters may be a function's arguments.

    Raises:
        RestError: PGRST100, or another fault in it.
    """
    query, pairs = Query(), _pairs(raw)
    for key, value in reversed(pairs):
        if key in _ONCE:
            _read_once(query, key, value)
    for key, value in pairs:
        if key not in _ONCE:
            _read_scoped(query, key, value, call=call)
    return query


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError:
        raise ParseError('"failed to parse query string" (line 1, column 1)') from None


def _read_once(query: Query, key: str, value: str) -> None:
    if key == "select":
        query.items = parse_select(value)
    elif key == "columns":
        query.columns = _names(value, key)
    else:
        query.on_conflict = _names(value, key)


def _names(value: str, kind: str) -> tuple[str, ...]:
    scanner = Scanner(value, f"{kind} parameter")
    names = [scanner.name()]
    while scanner.punctuate(","):
        names.append(scanner.name())
    scanner.close()
    return tuple(names)


def _read_scoped(query: Query, key: str, value: str, *, call: bool) -> None:
    scanner = Scanner(key, "tree path")
    *path, last = _segments(scanner)
    steps = read_path(scanner)
    scanner.close()
    if last in _WORDS and not steps:
        _read_word(query, path, last, value)
    elif call and not path and not steps and not looks_like_filter(value):
        query.arguments.append((last, value))
    else:
        query.scope(tuple(path)).conditions.append(parse_comparison(Field(last, steps), value))


def _segments(scanner: Scanner) -> Iterable[str]:
    yield scanner.name()
    while scanner.take("."):
        yield scanner.name()


def _read_word(query: Query, path: list[str], word: str, value: str) -> None:
    if word in ("and", "or"):
        negated = bool(path) and path[-1] == "not"
        scope = query.scope(tuple(path[:-1] if negated else path))
        kind: Literal["and", "or"] = "and" if word == "and" else "or"
        scope.conditions.append(parse_group(kind, value, negated=negated))
        return
    scope = query.scope(tuple(path))
    if word == "order":
        scope.order = parse_order(value)
    elif word == "limit":
        scope.limit = _whole(value, word)
    else:
        scope.offset = max(0, _whole(value, word))


def _whole(value: str, word: str) -> int:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or int(digits[:20]) > _MOST:
        raise ParseError(f'"failed to parse {word} parameter ({value})" (line 1, column 1)')
    if word == "limit" and value.startswith("-"):
        raise bad_range("Limit should be greater than or equal to zero.")
    return int(value)
