"""What values take in memory, measured by the interpreter."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from sba_cache.footprint import PARTS, footprint


class Row(msgspec.Struct, frozen=True):
    text: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Loose:
    text: str
    row: Row


def texts(n: int) -> tuple[str, ...]:
    return tuple(f"text {i}" for i in range(n))


def row(n: int) -> Row:
    return Row(f"{n} " * 20, tuple(n + i / 7 for i in range(30)))


MADE: dict[str, Callable[[], Any]] = {
    "texts": lambda: texts(500),
    "structs": lambda: tuple(row(n) for n in range(20)),
    "dataclasses": lambda: tuple(Loose(f"loose {n}", row(n)) for n in range(15)),
    "a set": lambda: frozenset(texts(300)),
    "one wide text": lambda: "\N{SNOWMAN}" + "x" * 50_000,
}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_the_footprint_is_what_the_value_takes(made: Callable[[], Any]) -> None:
    made()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        value = made()
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    measured = footprint(value)
    assert measured is not None
    assert 0.8 * taken < measured < 1.5 * taken


def test_a_value_of_too_many_parts_is_not_looked_through() -> None:
    assert footprint(texts(PARTS - 1)) is not None
    assert footprint(texts(PARTS)) is None
    assert footprint((texts(PARTS // 2), texts(PARTS // 2))) is None
