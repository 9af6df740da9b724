"""Sorting: `order=age.desc.nullslast,data->>a,directors(name).desc`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from sba_local.supabase.rest.fields import Field, read_field, read_path
from sba_local.supabase.rest.scanner import Scanner

_DIRECTIONS: Final[dict[str, LiteralString]] = {".asc": " asc", ".desc": " desc"}
_NULLS: Final[dict[str, LiteralString]] = {".nullsfirst": " nulls first", ".nullslast": " nulls last"}


@dataclass(frozen=True, slots=True)
class Term:
    """One key to sort by.

    Attributes:
        field: of the resource, or of `related`.
        suffix: direction and place of nulls, as SQL.
        related: the embedded resource whose field it is.
    """

    field: Field
    suffix: LiteralString = ""
    related: str | None = None


def parse_order(text: str) -> tuple[Term, ...]:
    """The terms of an `order` parameter."""
    scanner = Scanner(text, "order")
    terms = [_term(scanner)]
    while scanner.punctuate(","):
        terms.append(_term(scanner))
    scanner.close()
    return tuple(terms)


def _term(scanner: Scanner) -> Term:
    name, related = scanner.name(), None
    if scanner.take("("):
        related, field = name, read_field(scanner)
        scanner.expect(")")
    else:
        field = Field(name, read_path(scanner))
    suffix = _one_of(scanner, _DIRECTIONS) + _one_of(scanner, _NULLS)
    return Term(field, suffix, related)


def _one_of(scanner: Scanner, choices: dict[str, LiteralString]) -> LiteralString:
    for word, suffix in choices.items():
        if scanner.take(word):
            return suffix
    return ""
