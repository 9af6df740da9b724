"""SELECT statements: items, embedded resources, filters, order and range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from psycopg import sql

from sba_local.supabase.rest.binding import Binds, Part, all_of, listed, quoted
from sba_local.supabase.rest.catalog import Catalog, Relation
from sba_local.supabase.rest.columns import Row
from sba_local.supabase.rest.errors import RestError, not_embedded
from sba_local.supabase.rest.fields import Field
from sba_local.supabase.rest.ordering import Term
from sba_local.supabase.rest.querystring import Path, Query, Scope
from sba_local.supabase.rest.relationships import Relationship, find
from sba_local.supabase.rest.selection import Column, Embed, Item, Star, embeds

NOTHING: Final = sql.SQL("")
BODY: Final = sql.SQL('"_sba_body"')


@dataclass(frozen=True, slots=True)
class _Embedded:
    """An embedded resource within a statement: its join, and what to say of it."""

    embed: Embed
    relationship: Relationship
    join: Part
    item: Part | None
    present: Part


@dataclass
class Reader:
    """Composes the SELECTs of one request.

    Attributes:
        catalog: what there is.
        query: what was asked.
        binds: where values go.
        schemas: searched for the types of casts.
    """

    catalog: Catalog
    query: Query
    binds: Binds
    schemas: Sequence[str]
    _aliases: Iterator[int] = field(default_factory=count)

    def alias(self) -> str:
        """A name that the statement has not used."""
        return f"t{next(self._aliases)}"

    def rows(self, relation: Relation, source: Part, *, filtered: bool = True, limit: int | None) -> Part:
        """The outer resource.

        Args:
            relation: what it is.
            source: where its rows come from.
            filtered: whether the filters still have to be applied.
            limit: most rows.
        """
        items = self.query.items if filtered else tuple(_named(relation, self.query.items))
        scope = self.query.outer if filtered else Scope(order=self.query.outer.order)
        scope = replace(scope, limit=_least(scope.limit, limit))
        row, embedded = self._row(relation, items, ())
        return self._select(row, source, items, embedded, scope)

    def total(self, relation: Relation, source: Part, *, most: int | None = None) -> Part:
        """One row for each that matches, whatever the range; at most so many."""
        row, embedded = self._row(relation, self.query.items, ())
        scope = Scope(conditions=self.query.outer.conditions, limit=most)
        return self._select(row, source, None, embedded, scope)

    def check(self) -> None:
        """Refuse filters for resources that are not embedded.

        Raises:
            RestError: PGRST108.
        """
        known = set(_paths(self.query.items, ()))
        for path in self.query.scopes:
            if path not in known:
                raise not_embedded(path[-1])

    def _row(self, relation: Relation, items: Sequence[Item], path: Path) -> tuple[Row, list[_Embedded]]:
        alias = self.alias()
        embedded = [
            self._embed(relation, alias, embed, (*path, embed.label)) for embed in embeds(tuple(items))
        ]
        present = {one.embed.label: one.present for one in embedded}
        present |= {one.embed.name: one.present for one in embedded if one.embed.name not in present}
        return Row(relation, alias, self.binds, present), embedded

    def _select(
        self,
        row: Row,
        source: Part,
        items: Sequence[Item] | None,
        embedded: Sequence[_Embedded],
        scope: Scope,
        *,
        joining: Sequence[Part] = (),
    ) -> Part:
        wanted = [*joining, *map(row.condition, scope.conditions)]
        return sql.SQL("select {} from {} as {}{}{}{}{}").format(
            sql.SQL("1") if items is None else listed(self._items(row, items, embedded)),
            source,
            quoted(row.alias),
            sql.SQL("").join(one.join for one in embedded),
            sql.SQL(" where {}").format(all_of(wanted)) if wanted else NOTHING,
            self._order(row, scope.order, embedded),
            self.window(scope.offset, scope.limit),
        )

    def _items(self, row: Row, items: Sequence[Item], embedded: Sequence[_Embedded]) -> Iterator[Part]:
        waiting = iter(embedded)
        for item in items:
            if isinstance(item, Star):
                yield sql.SQL("{}.*").format(quoted(row.alias))
            elif isinstance(item, Column):
                yield self._column(row, item)
            else:
                shown = next(waiting).item
                if shown is not None:
                    yield shown

    def _column(self, row: Row, column: Column) -> Part:
        part = row.field(column.field)
        if column.cast is not None:
            part = sql.SQL("{}::{}").format(part, self.catalog.type(column.cast, self.schemas).quoted)
        return sql.SQL("{} as {}").format(part, quoted(column.label))

    def _order(self, row: Row, terms: Sequence[Term], embedded: Sequence[_Embedded]) -> Part:
        if not terms:
            return NOTHING
        keys = (sql.Composed((self._term(row, term, embedded), sql.SQL(term.suffix))) for term in terms)
        return sql.SQL(" order by {}").format(listed(keys))

    def _term(self, row: Row, term: Term, embedded: Sequence[_Embedded]) -> Part:
        if term.related is None:
            return row.field(term.field)
        one = next((one for one in embedded if term.related in (one.embed.label, one.embed.name)), None)
        if one is None:
            raise not_embedded(term.related)
        if not one.relationship.to_one:
            raise _unsortable(row.relation.name.name, term.related)
        return self._related(row, one.relationship, term)

    def _related(self, row: Row, relationship: Relationship, term: Term) -> Part:
        child = Row(self.catalog.relations[relationship.child], self.alias(), self.binds, {})
        return sql.SQL("(select {} from {} as {} where {})").format(
            child.field(term.field),
            relationship.child.quoted,
            quoted(child.alias),
            all_of(_equal(row.alias, child.alias, relationship.pairs)),
        )

    def window(self, offset: int, limit: int | None) -> Part:
        """LIMIT and OFFSET, where there are any."""
        parts: list[Part] = []
        if limit is not None:
            parts.append(sql.SQL(" limit {}::bigint").format(self.binds.add(str(limit))))
        if offset:
            parts.append(sql.SQL(" offset {}::bigint").format(self.binds.add(str(offset))))
        return sql.Composed(parts)

    def _embed(self, parent: Relation, parent_alias: str, embed: Embed, path: Path) -> _Embedded:
        relationship = find(self.catalog, parent, embed.name, embed.hint)
        if embed.spread and not relationship.to_one:
            raise _unspreadable(parent.name.name, embed.name)
        inside = self._inside(parent_alias, embed, relationship, path)
        place = quoted(self.alias())
        present = sql.SQL("{}.{}").format(place, BODY)
        if embed.spread:
            inside = sql.SQL("select true as {}, r.* from ({}) r").format(BODY, inside)
        elif relationship.to_one:
            inside = sql.SQL("select row_to_json(r.*) as {} from ({}) r").format(BODY, inside)
        else:
            inside = sql.SQL("select json_agg(row_to_json(r.*)) as {} from ({}) r").format(BODY, inside)
        return _Embedded(
            embed,
            relationship,
            _joined(inside, place, present, embed),
            self._shown(embed, relationship, place),
            present,
        )

    def _shown(self, embed: Embed, relationship: Relationship, place: Part) -> Part | None:
        if not embed.items:
            return None
        if embed.spread:
            return listed(
                sql.SQL("{}.{}").format(place, quoted(label)) for label in self._labels(embed, relationship)
            )
        body = sql.SQL("{}.{}") if relationship.to_one else sql.SQL("coalesce({}.{}, '[]')")
        return sql.SQL("{} as {}").format(body.format(place, BODY), quoted(embed.label))

    def _labels(self, embed: Embed, relationship: Relationship) -> Iterator[str]:
        child = self.catalog.relations[relationship.child]
        for item in embed.items:
            if isinstance(item, Star):
                yield from child.types
            elif isinstance(item, Embed) and item.spread:
                yield from self._labels(item, find(self.catalog, child, item.name, item.hint))
            else:
                yield item.label

    def _inside(self, parent: str, embed: Embed, relationship: Relationship, path: Path) -> Part:
        child = self.catalog.relations[relationship.child]
        row, embedded = self._row(child, embed.items, path)
        scope = self.query.scopes.get(path) or self.query.scopes.get((*path[:-1], embed.name)) or Scope()
        source, conditions = self._joining(parent, row.alias, relationship)
        items = embed.items or (Star(),)
        return self._select(row, source, items, embedded, scope, joining=conditions)

    def _joining(self, parent: str, child: str, relationship: Relationship) -> tuple[Part, list[Part]]:
        source = relationship.child.quoted
        if relationship.junction is None:
            return source, _equal(parent, child, relationship.pairs)
        junction = self.alias()
        found = sql.SQL("exists (select from {} as {} where {})").format(
            relationship.junction.quoted,
            quoted(junction),
            all_of(
                [
                    *_equal(parent, junction, relationship.pairs),
                    *_equal(junction, child, relationship.onward),
                ]
            ),
        )
        return source, [found]


def _named(relation: Relation, items: Sequence[Item]) -> Iterator[Item]:
    """The items with the names of all columns in a star's place: the source may hold more than these."""
    for item in items:
        if isinstance(item, Star):
            yield from (Column(Field(name)) for name in relation.types)
        else:
            yield item


def _joined(inside: Part, place: Part, present: Part, embed: Embed) -> Part:
    if embed.inner:
        return sql.SQL(" join lateral ({}) as {} on {} is not null").format(inside, place, present)
    return sql.SQL(" left join lateral ({}) as {} on true").format(inside, place)


def _equal(left: str, right: str, pairs: Sequence[tuple[str, str]]) -> list[Part]:
    return [sql.SQL("{} = {}").format(quoted(left, ours), quoted(right, theirs)) for ours, theirs in pairs]


def _paths(items: Sequence[Item], path: Path) -> Iterator[Path]:
    yield path
    for embed in embeds(tuple(items)):
        for name in {embed.label, embed.name}:
            yield from _paths(embed.items, (*path, name))


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _unsortable(parent: str, child: str) -> RestError:
    return RestError(
        400,
        "PGRST118",
        f"A related order on '{child}' is not possible",
        f"'{parent}' and '{child}' do not form a many-to-one or one-to-one relationship",
    )


def _unspreadable(parent: str, child: str) -> RestError:
    return RestError(
        400,
        "PGRST119",
        f"A spread operation on '{child}' is not possible",
        f"'{parent}' and '{child}' do not form a many-to-one or one-to-one relationship",
    )
