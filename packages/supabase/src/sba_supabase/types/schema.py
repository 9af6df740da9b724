"""The form of the generated types: what a table, a row and a function are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter

_TENANT = "tenant_id"
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quoted(column: str) -> str:
    """A column as PostgREST reads its name, whatever signs are in it."""
    if _PLAIN.fullmatch(column):
        return column
    escaped = column.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


OMITTED: Any = None
"""Stands for a column that is left out: it is never sent."""


class Row(BaseModel):
    """A row as it is read. A column that is newer than the code is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=True)


class Write(BaseModel):
    """What is written: only what was set, `None` for null; a column that is left out keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=True)

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
        return tuple(field.serialization_alias or name for name, field in self.row.model_fields.items())

    @property
    def selection(self) -> str:
        """The columns as PostgREST is asked for them; a `Decimal` as text, for JSON's numbers round it."""
        fields = self.row.model_fields.values()
        exact = [Decimal in (field.annotation, *get_args(field.annotation)) for field in fields]
        names = map(quoted, self.columns)
        return ",".join(f"{name}::text" if text else name for name, text in zip(names, exact, strict=True))

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
