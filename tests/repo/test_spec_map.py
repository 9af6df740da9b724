"""The map of the plan names tests that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAP = ROOT / "docs" / "spec-map.md"
NAMED = re.compile(r"`(tests/[\w/.]+\.py)?(?:::(test_\w+))?`")


def named(text: str) -> Iterator[tuple[str, str]]:
    """The files and functions that a text names; a function alone is one of the file before it."""
    file = ""
    for path, function in NAMED.findall(text):
        file = path or file
        if path or function:
            yield file, function


def missing(text: str) -> list[str]:
    """What it names that is not there."""
    return [
        f"{file}::{function}"
        for file, function in named(text)
        if not (ROOT / file).is_file()
        or (function and not re.search(rf"def {function}\(", (ROOT / file).read_text(encoding="utf-8")))
    ]


def test_every_test_on_the_map_is_there():
    text = MAP.read_text(encoding="utf-8")
    assert sum(1 for _ in named(text)) > 30
    assert missing(text) == []


def test_a_test_that_is_not_there_is_seen():
    here = "tests/repo/test_spec_map.py"
    assert missing(f"`{here}::test_of_nothing`, `tests/repo/test_nowhere.py`, `{here}`") == [
        f"{here}::test_of_nothing",
        "tests/repo/test_nowhere.py::",
    ]
