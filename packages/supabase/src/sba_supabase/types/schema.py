"""The form of the generated types: what a table, a row and a function are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

_TENANT = "tenant_id"


OMITTED: Any = None
"""Stands for a column that is left out: it is never sent."""


class Row(BaseModel):
    """A row as it is read. A column that is newer than the code is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Write(BaseModel):
    """What is written: only what was set, `None` for null; a column that is left out keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def values_set(self) -> dict[str, object]:
        """The columns that were set, as JSON."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class ReadOnly(Write):
    """What is written to a view: nothing."""


RowT = TypeVar("RowT", bound=Row)
InsertT = TypeVar("InsertT", bound=Write)
UpdateT = TypeVar("UpdateT", bound=Write)
ArgumentsT = TypeVar("ArgumentsT", bound=Write)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Table(Generic[RowT, InsertT, UpdateT]):
    """A table or view that PostgREST serves.

    Attributes:
        name: what it is called.
        row: its rows.
        insert: what is inserted.
        update: what is changed.
        key: the columns of its primary key, empty for a view.
    """

    name: str
    row: type[RowT]
    insert: type[InsertT]
    update: type[UpdateT]
    key: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row, as the database calls them."""
        return tuple(field.alias or name for name, field in self.row.model_fields.items())

    @property
    def of_tenants(self) -> bool:
        """Whether each row belongs to a tenant."""
        return _TENANT in self.columns

    def check_filter(self, where: Mapping[str, object]) -> None:
        """Refuse a filter that names other columns, or leaves out whose rows are meant.

        Raises:
            ValueError: it does.
        """
        unknown = where.keys() - set(self.columns)
        if unknown:
            raise ValueError(f"{self.name} has no column {', '.join(sorted(unknown))}")
        if self.of_tenants and where.get(_TENANT) is None:
            raise ValueError(f"a filter on {self.name} must name the {_TENANT}")


@dataclass(frozen=True, slots=True)
class Rpc(Generic[ArgumentsT, ResultT]):
    """A function that PostgREST serves.

    Attributes:
        name: what it is called.
        arguments: what it is called with.
        result: what it answers.
    """

    name: str
    arguments: type[ArgumentsT]
    result: TypeAdapter[ResultT]
