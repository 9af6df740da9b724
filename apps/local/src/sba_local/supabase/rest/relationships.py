"""Which foreign keys lead from one resource to another (PostgREST: references/api/resource_embedding)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sba_local.supabase.rest.catalog import Catalog, ForeignKey, Name, Relation
from sba_local.supabase.rest.errors import RestError, SchemaMiss

Cardinality = Literal["many-to-one", "one-to-one", "one-to-many", "many-to-many"]


@dataclass(frozen=True, slots=True)
class Relationship:
    """A way from one resource to another.

    Attributes:
        cardinality: how many of each.
        parent: where it starts.
        child: where it leads.
        pairs: columns of the parent and of the child, or of the parent and of the junction, that are equal.
        keys: the foreign keys it follows.
        onward: columns of the junction and of the child that are equal.
        junction: the table in between.
    """

    cardinality: Cardinality
    parent: Name
    child: Name
    pairs: tuple[tuple[str, str], ...]
    keys: tuple[ForeignKey, ...]
    onward: tuple[tuple[str, str], ...] = ()
    junction: Name | None = None

    @property
    def to_one(self) -> bool:
        """Whether it leads to one row at most."""
        return self.cardinality in ("many-to-one", "one-to-one")

    def described(self) -> dict[str, str]:
        """As PGRST201 lists it."""
        if self.junction is not None:
            ends = " and ".join(f"{key.name}({','.join(key.columns)})" for key in self.keys)
            using = f"{self.junction.name} using {ends}"
        else:
            ours = ",".join(ours for ours, _ in self.pairs)
            theirs = ",".join(theirs for _, theirs in self.pairs)
            using = f"{self.keys[0].name} using {self.parent.name}({ours}) and {self.child.name}({theirs})"
        return {
            "cardinality": self.cardinality,
            "embedding": f"{self.parent.name} with {self.child.name}",
            "relationship": using,
        }

    @property
    def hint(self) -> str:
        """The word that picks it."""
        return self.junction.name if self.junction is not None else self.keys[0].name


def find(catalog: Catalog, parent: Relation, target: str, hint: str | None) -> Relationship:
    """The one relationship that leads from a resource to what `target` names.

    Args:
        catalog: where the foreign keys are.
        parent: where it starts.
        target: a table, a foreign key, or the column that is one.
        hint: a foreign key, its column, or a junction.

    Raises:
        RestError: PGRST200 where there is none, PGRST201 where there are several.
    """
    found = [
        relationship
        for relationship in _all(catalog, parent.name)
        if _named(relationship, target) and (hint is None or _hinted(relationship, hint))
    ]
    if not found:
        raise _none(parent.name, target, hint)
    if len(found) > 1:
        raise _several(parent.name, target, found)
    return found[0]


def _all(catalog: Catalog, parent: Name) -> Iterator[Relationship]:
    for key in catalog.foreign_keys:
        if key.table == parent:
            yield _forward(catalog, key)
        if key.target == parent:
            yield _backward(catalog, key)
    yield from _through(catalog, parent)


def _forward(catalog: Catalog, key: ForeignKey) -> Relationship:
    pairs = tuple(zip(key.columns, key.target_columns, strict=True))
    cardinality: Cardinality = "one-to-one" if _is_unique(catalog, key) else "many-to-one"
    return Relationship(cardinality, key.table, key.target, pairs, (key,))


def _backward(catalog: Catalog, key: ForeignKey) -> Relationship:
    pairs = tuple(zip(key.target_columns, key.columns, strict=True))
    cardinality: Cardinality = "one-to-one" if _is_unique(catalog, key) else "one-to-many"
    return Relationship(cardinality, key.target, key.table, pairs, (key,))


def _is_unique(catalog: Catalog, key: ForeignKey) -> bool:
    return frozenset(key.columns) in catalog.relations[key.table].uniques


def _through(catalog: Catalog, parent: Name) -> Iterator[Relationship]:
    for near in catalog.foreign_keys:
        if near.target != parent:
            continue
        primary = set(catalog.relations[near.table].primary_key)
        for far in catalog.foreign_keys:
            joins = far.table == near.table and far is not near
            if joins and primary.issuperset((*near.columns, *far.columns)):
                yield Relationship(
                    "many-to-many",
                    parent,
                    far.target,
                    tuple(zip(near.target_columns, near.columns, strict=True)),
                    (near, far),
                    tuple(zip(far.columns, far.target_columns, strict=True)),
                    near.table,
                )


def _named(relationship: Relationship, target: str) -> bool:
    if relationship.child.name == target:
        return True
    key = relationship.keys[0]
    forward = relationship.junction is None and key.table == relationship.parent
    return relationship.junction is None and (key.name == target or (forward and key.columns == (target,)))


def _hinted(relationship: Relationship, hint: str) -> bool:
    if relationship.junction is not None:
        return hint == relationship.junction.name
    key = relationship.keys[0]
    return hint == key.name or (hint,) in (key.columns, key.target_columns)


def _none(parent: Name, target: str, hint: str | None) -> SchemaMiss:
    using = f" using the hint '{hint}'" if hint else ""
    return SchemaMiss(
        400,
        "PGRST200",
        f"Could not find a relationship between '{parent.name}' and '{target}' in the schema cache",
        f"Searched for a foreign key relationship between '{parent.name}' and '{target}'{using} "
        f"in the schema '{parent.schema}', but no matches were found.",
    )


def _several(parent: Name, target: str, found: list[Relationship]) -> RestError:
    choices = ", ".join(f"'{target}!{relationship.hint}'" for relationship in found)
    return RestError(
        300,
        "PGRST201",
        f"Could not embed because more than one relationship was found for '{parent.name}' and '{target}'",
        [relationship.described() for relationship in found],
        f"Try changing '{target}' to one of the following: {choices}. "
        "Find the desired relationship in the 'details' key.",
    )
