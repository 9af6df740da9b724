"""What to answer with: `select=id,name:title,data->>a::int,directors!inner(name),...specs(camera)`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sba_local.supabase.rest.errors import RestError
from sba_local.supabase.rest.fields import Field, read_path
from sba_local.supabase.rest.scanner import Scanner

_AGGREGATE: Final = re.compile(r"(?:sum|avg|count|max|min)\(\)")
_CAST: Final = re.compile(r"[A-Za-z_][\w ]*(?:\[\])?")


@dataclass(frozen=True, slots=True)
class Column:
    """A column or a path into one, under a name of the caller's or its own."""

    field: Field
    alias: str | None = None
    cast: str | None = None

    @property
    def label(self) -> str:
        """Its name in the answer."""
        return self.alias or self.field.label


@dataclass(frozen=True, slots=True)
class Star:
    """All columns."""


@dataclass(frozen=True, slots=True)
class Embed:
    """A related resource.

    Attributes:
        name: of the relation, the foreign key or its column.
        items: what of it.
        alias: its name in the answer.
        hint: which relationship, where there are several.
        inner: whether rows without one are left out.
        spread: whether its columns are put beside the parent's.
    """

    name: str
    items: tuple[Item, ...]
    alias: str | None = None
    hint: str | None = None
    inner: bool = False
    spread: bool = False

    @property
    def label(self) -> str:
        """Its name in the answer and in filters."""
        return self.alias or self.name


Item = Column | Star | Embed
EVERYTHING: Final[tuple[Item, ...]] = (Star(),)


def parse_select(text: str) -> tuple[Item, ...]:
    """The items of a `select` parameter; an empty one means everything."""
    if not text:
        return EVERYTHING
    scanner = Scanner(text, "select parameter")
    items = tuple(_items(scanner))
    scanner.close()
    return items


def embeds(items: tuple[Item, ...]) -> list[Embed]:
    """The related resources among items."""
    return [item for item in items if isinstance(item, Embed)]


def _items(scanner: Scanner) -> Iterator[Item]:
    yield _item(scanner)
    while scanner.punctuate(","):
        yield _item(scanner)


def _item(scanner: Scanner) -> Item:
    if scanner.take("*"):
        return Star()
    if scanner.take("..."):
        return _embed(scanner, *_labelled(scanner), spread=True)
    if scanner.match(_AGGREGATE) is not None:
        raise _no_aggregates()
    alias, name = _labelled(scanner)
    mark = scanner.mark()
    if scanner.take("(") or scanner.take("!"):
        scanner.back(mark)
        return _embed(scanner, alias, name, spread=False)
    return _column(scanner, alias, name)


def _labelled(scanner: Scanner) -> tuple[str | None, str]:
    """`alias:name` or `name`; two colons are a cast."""
    name = scanner.name()
    mark = scanner.mark()
    if scanner.take("::"):
        scanner.back(mark)
        return None, name
    return (name, scanner.name()) if scanner.take(":") else (None, name)


def _column(scanner: Scanner, alias: str | None, name: str) -> Column:
    field = Field(name, read_path(scanner))
    cast = _cast(scanner)
    if scanner.take("."):
        if scanner.match(_AGGREGATE) is None:
            scanner.fail("an aggregate function")
        raise _no_aggregates()
    return Column(field, alias, cast)


def _cast(scanner: Scanner) -> str | None:
    if not scanner.take("::"):
        return None
    cast = scanner.match(_CAST)
    if cast is None:
        scanner.fail("a type")
    return cast


def _embed(scanner: Scanner, alias: str | None, name: str, *, spread: bool) -> Embed:
    hint, inner = None, False
    while scanner.take("!"):
        word = scanner.name()
        if word in ("inner", "left"):
            inner = word == "inner"
        else:
            hint = word
    scanner.expect("(")
    scanner.enter()
    items: tuple[Item, ...] = ()
    if not scanner.take(")"):
        items = tuple(_items(scanner))
        scanner.expect(")")
    scanner.leave()
    return Embed(name, items, alias, hint, inner, spread)


def _no_aggregates() -> RestError:
    return RestError(400, "PGRST123", "Use of aggregate functions is not allowed")
