"""Filters: `age=gte.18`, `or=(a.eq.1,not.and(b.is.null,c.in.(1,2)))`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from sba_local.supabase.rest.fields import Field, read_field
from sba_local.supabase.rest.scanner import Scanner

SYMBOLS: Final = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "isdistinct": "is distinct from",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
}
SEARCHES: Final = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
STATES: Final = {
    "null": "null",
    "not_null": "not null",
    "true": "true",
    "false": "false",
    "unknown": "unknown",
}
QUANTIFIED: Final = frozenset({"eq", "like", "ilike", "gt", "gte", "lt", "lte", "match", "imatch"})
OPERATORS: Final = frozenset({*SYMBOLS, *SEARCHES, "in", "is"})

_OPERATOR: Final = re.compile(r"[a-z]+")
_LANGUAGE: Final = re.compile(r"\w+")
_PLAIN: Final = re.compile(r"[^,)]*")
_BRACES: Final = re.compile(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}(?=[,)])")
_STATE: Final = re.compile(r"[A-Za-z_]+")
_LOOKS_LIKE: Final = re.compile(rf"(?:not\.)?(?:{'|'.join(sorted(OPERATORS))})(?:\(\w+\))?\.")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field held against a value.

    Attributes:
        field: its left side.
        operator: PostgREST's abbreviation.
        value: its right side; a tuple for `in`.
        negated: whether `not.` stands before it.
        modifier: `any` or `all`, or the language of a text search.
    """

    field: Field
    operator: str
    value: str | tuple[str, ...]
    negated: bool = False
    modifier: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by `and` or `or`."""

    kind: Literal["and", "or"]
    members: tuple[Condition, ...]
    negated: bool = False


Condition = Comparison | Group


def looks_like_filter(value: str) -> bool:
    """Whether a parameter's value starts with an operator."""
    return _LOOKS_LIKE.match(value) is not None


def parse_comparison(field: Field, text: str) -> Comparison:
    """The filter of one parameter."""
    scanner = Scanner(text, "filter")
    found = _comparison(scanner, field, nested=False)
    scanner.close()
    return found


def parse_group(kind: Literal["and", "or"], text: str, *, negated: bool) -> Group:
    """The logic of an `and=` or `or=` parameter."""
    before = len("not.") * negated + len(kind)
    scanner = Scanner(text, "logic tree", before=before)
    members = _members(scanner)
    scanner.close()
    return Group(kind, members, negated)


def _members(scanner: Scanner) -> tuple[Condition, ...]:
    scanner.enter()
    scanner.demand("(")
    members = [_member(scanner)]
    while scanner.punctuate(","):
        members.append(_member(scanner))
    scanner.demand(")")
    scanner.leave()
    return tuple(members)


def _member(scanner: Scanner) -> Condition:
    mark = scanner.mark()
    negated = scanner.take("not.")
    for kind in ("and", "or"):
        start = scanner.mark()
        if scanner.take(kind) and scanner.punctuate("("):
            scanner.back(start + len(kind))
            return Group(kind, _members(scanner), negated)
        scanner.back(start)
    scanner.back(mark)
    field = read_field(scanner)
    scanner.expect(".")
    return _comparison(scanner, field, nested=True)


def _comparison(scanner: Scanner, field: Field, *, nested: bool) -> Comparison:
    negated = scanner.take("not.")
    operator = scanner.match(_OPERATOR) or ""
    if operator not in OPERATORS:
        scanner.fail("operator (eq, gt, ...)")
    modifier = _modifier(scanner, operator)
    scanner.expect(".")
    return Comparison(field, operator, _value(scanner, operator, nested=nested), negated, modifier)


def _modifier(scanner: Scanner, operator: str) -> str | None:
    if not scanner.take("("):
        return None
    word = scanner.match(_LANGUAGE) or ""
    quantified = operator in QUANTIFIED and word in ("any", "all")
    if not word or not (quantified or operator in SEARCHES):
        scanner.fail("any, all or a language")
    scanner.expect(")")
    return word


def _value(scanner: Scanner, operator: str, *, nested: bool) -> str | tuple[str, ...]:
    if operator == "in":
        return _listed(scanner)
    if operator == "is":
        return _state(scanner)
    if not nested:
        return scanner.rest()
    return _nested_value(scanner)


def _nested_value(scanner: Scanner) -> str:
    mark = scanner.mark()
    quoted = scanner.quoted()
    if quoted is not None and scanner.match(_NEXT) is not None:
        return quoted
    scanner.back(mark)
    braces = scanner.match(_BRACES)
    return braces if braces is not None else scanner.match(_PLAIN) or ""


_NEXT: Final = re.compile(r"(?=[,)])")


def _state(scanner: Scanner) -> str:
    mark = scanner.mark()
    word = (scanner.match(_STATE) or "").lower()
    if word not in STATES:
        scanner.back(mark)
        scanner.fail("isVal: (null, not_null, true, false, unknown)")
    return word


def _listed(scanner: Scanner) -> tuple[str, ...]:
    scanner.demand("(")
    if scanner.take(")"):
        return ()
    values = [_nested_value(scanner)]
    while scanner.punctuate(","):
        values.append(_nested_value(scanner))
    scanner.expect(")")
    return tuple(values)
