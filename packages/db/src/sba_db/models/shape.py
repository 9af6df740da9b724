"""How a table, its keys and its references are described, in Postgres's own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TENANT: Final = "tenant_id"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: As in the table.
        type: As `format_type` spells it, with the schema of a type that is ours: `service.run_status`.
        nullable: Whether it may be NULL.
        default: The default's value or expression without quotes and casts; None without a default.
    """

    name: str
    type: str
    nullable: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """An index or a unique key over columns; one that sorts downwards ends in ` desc`.

    Attributes:
        name: As in the schema.
        columns: In the order of the index.
        unique: Whether it forbids duplicates.
        method: The access method.
    """

    name: str
    columns: tuple[str, ...]
    unique: bool = False
    method: str = "btree"


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key to another table of the schema; the actions are Postgres's words in lower case."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]
    on_delete: str
    on_update: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table of schema `service`."""

    name: str
    columns: tuple[Column, ...]
    primary_key: Index | None
    indexes: tuple[Index, ...] = ()
    references: tuple[Reference, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names, in the order of the row's fields."""
        return tuple(column.name for column in self.columns)

    @property
    def of_tenants(self) -> bool:
        """Whether its rows belong to tenants."""
        return TENANT in self.column_names
