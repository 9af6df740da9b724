"""Only what nobody can change is shared."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
import pytest

from sba_cache.frozen import is_frozen
from sba_cache.record import Codec


class Color(enum.Enum):
    RED = "red"


class Still(msgspec.Struct, frozen=True):
    name: str
    inner: tuple[Still, ...] = ()


class Loose(msgspec.Struct):
    name: str


class Shell(msgspec.Struct, frozen=True):
    inner: list[int]


@dataclass(frozen=True)
class Fixed:
    name: str
    of: Still | None = None


@dataclass
class Open:
    name: str


@dataclass(frozen=True)
class Around:
    names: list[str] = field(default_factory=list)


class Pair(NamedTuple):
    one: int
    other: str


FROZEN = (
    *(str, bytes, int, float, bool, None, Decimal, UUID, datetime.datetime, datetime.date),
    *(Color, Still, Fixed, Pair, Literal["a", 1], int | None, tuple[int, str], tuple[Still, ...]),
    *(frozenset[str], Annotated[int, msgspec.Meta(ge=0, examples=[1])]),
)
LOOSE = (
    *(Any, list[int], dict[str, int], set[int], bytearray, tuple[list[int], ...], int | Loose),
    *(Loose, Shell, Open, Around),
)


@pytest.mark.parametrize("type_", FROZEN, ids=str)
def test_what_cannot_be_changed_is_shared(type_: Any) -> None:
    assert is_frozen(type_)


@pytest.mark.parametrize("type_", LOOSE, ids=str)
def test_what_can_be_changed_anywhere_in_it_is_not(type_: Any) -> None:
    assert not is_frozen(type_)


def test_without_a_type_the_value_decides() -> None:
    codec = Codec(Any)
    assert codec.may_share("text")
    assert codec.may_share(None)
    assert not codec.may_share(["list"])
