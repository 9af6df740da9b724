"""Compares the tables and enumerations that schema.prisma declares with those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sba_db.check.catalog import Catalog, plain
from sba_db.check.difference import Difference
from sba_db.models.shape import Column, Index, Reference, Table


def compared(
    declared: Iterable[Table], enums: Mapping[str, tuple[str, ...]], there: Catalog
) -> list[Difference]:
    """What differs, table by table; `there` may hold more only where schema.prisma cannot say it."""
    tables = {table.name: table for table in declared}
    found = [Difference(name, "table is missing") for name in tables.keys() - there.tables.keys()]
    found += [
        Difference(name, "table is not in schema.prisma") for name in there.tables.keys() - tables.keys()
    ]
    found += _enums(enums, there.enums)
    for name in tables.keys() & there.tables.keys():
        found += _table(tables[name], there.tables[name])
        found += [Difference(name, f"{one} is not valid") for one in there.unusable[name]]
    return sorted(found, key=str)


def _enums(
    declared: Mapping[str, tuple[str, ...]], there: Mapping[str, tuple[str, ...]]
) -> Iterator[Difference]:
    for name in declared.keys() | there.keys():
        wanted, labels = declared.get(name), there.get(name)
        if labels is None:
            yield Difference(name, "enumeration is missing")
        elif wanted is None:
            yield Difference(name, "enumeration is not in schema.prisma")
        elif wanted != labels:
            yield Difference(name, f"has the labels {_listed(labels)}, schema.prisma says {_listed(wanted)}")


def _table(declared: Table, there: Table) -> Iterator[Difference]:
    yield from _columns(declared, there)
    if declared.primary_key != there.primary_key:
        yield Difference(
            declared.name,
            f"primary key is {_key(there.primary_key)}, schema.prisma says {_key(declared.primary_key)}",
        )
    yield from _indexes(declared, there)
    for reference in set(declared.references) - set(there.references):
        yield Difference(declared.name, f"{_reference(reference)} is missing")
    for reference in set(there.references) - set(declared.references):
        yield Difference(declared.name, f"{_reference(reference)} is not in schema.prisma")


def _columns(declared: Table, there: Table) -> Iterator[Difference]:
    wanted = {column.name: column for column in declared.columns}
    columns = {column.name: column for column in there.columns}
    for name in wanted.keys() - columns.keys():
        yield Difference(f"{declared.name}.{name}", "column is missing")
    for name in columns.keys() - wanted.keys():
        yield Difference(f"{declared.name}.{name}", "column is not in schema.prisma")
    for name in wanted.keys() & columns.keys():
        for problem in _column(wanted[name], columns[name]):
            yield Difference(f"{declared.name}.{name}", problem)


def _column(declared: Column, there: Column) -> Iterator[str]:
    if _type(declared) != _type(there):
        yield f"type is {there.type}, schema.prisma says {declared.type}"
    if declared.nullable != there.nullable:
        yield f"is {_nullness(there)}, schema.prisma says {_nullness(declared)}"
    if plain(there.default) not in {declared.default, plain(declared.default)}:
        yield f"default is {there.default or 'none'}, schema.prisma says {declared.default or 'none'}"


def _nullness(column: Column) -> str:
    return "NULL" if column.nullable else "NOT NULL"


def _type(column: Column) -> str:
    """The type without the precision that is the default anyway."""
    return column.type.replace("timestamp(6)", "timestamp").replace("time(6)", "time")


def _indexes(declared: Table, there: Table) -> Iterator[Difference]:
    wanted = {index.name: index for index in declared.indexes}
    indexes = {index.name: index for index in there.indexes}
    for name in wanted.keys() - indexes.keys():
        yield Difference(declared.name, f"index {_key(wanted[name])} is missing")
    for name in indexes.keys() - wanted.keys():
        yield Difference(declared.name, f"index {_key(indexes[name])} is not in schema.prisma")
    for name in wanted.keys() & indexes.keys():
        if wanted[name] != indexes[name]:
            yield Difference(
                declared.name, f"index is {_key(indexes[name])}, schema.prisma says {_key(wanted[name])}"
            )


def _key(index: Index | None) -> str:
    if index is None:
        return "none"
    kind = f"{'unique ' if index.unique else ''}{index.method}"
    return f"{index.name} ({_listed(index.columns)}) {kind}"


def _reference(reference: Reference) -> str:
    return (
        f"reference ({_listed(reference.columns)}) to {reference.table} ({_listed(reference.to)})"
        f" on delete {reference.on_delete} on update {reference.on_update}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
