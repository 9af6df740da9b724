"""The Python of a notebook: its cells one below the other, and where each of them begins."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = re.compile(r"^(\s*)[%!?].*$", re.MULTILINE)
_OTHER_LANGUAGE: Final = re.compile(r"\s*%%(?!time|capture|prun)")


@dataclass(frozen=True, slots=True)
class Notebook:
    """The cells of a notebook.

    Attributes:
        source: their Python, with what only a notebook understands left out.
        begins: the line each one begins on.
        numbers: the number of each one, from 1, with those counted that hold no Python.
    """

    source: str
    begins: tuple[int, ...]
    numbers: tuple[int, ...]

    def place(self, line: int) -> tuple[int, int]:
        """The number of the cell a line of the source is in, and its line there."""
        index = max(0, bisect_right(self.begins, line) - 1)
        return self.numbers[index], line - self.begins[index] + 1


def read_notebook(document: bytes) -> Notebook:
    """The cells of a notebook.

    Args:
        document: a notebook as it is saved, of the format's version 4.

    Raises:
        ValueError: it is none.
    """
    data = json.loads(document)
    cells = data.get("cells") if isinstance(data, dict) else None
    if cells is None or not isinstance(cells, list):
        raise ValueError("not a notebook")
    parts: list[str] = []
    begins: list[int] = []
    numbers: list[int] = []
    line = 1
    for number, cell in enumerate(cells, 1):
        text = _code(cell)
        if text is None:
            continue
        parts.append(text)
        begins.append(line)
        numbers.append(number)
        line += text.count("\n") + 1
    return Notebook("\n".join(parts), tuple(begins) or (1,), tuple(numbers) or (1,))


def _code(cell: object) -> str | None:
    """The Python of a cell, None of one that holds none."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return None
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return None if _OTHER_LANGUAGE.match(text) else _MAGIC.sub(r"\1pass", text)
