"""The source itself: no savepoints, and one place that ends transactions or repeats them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = Path(__file__).resolve().parents[3] / "packages"
SOURCES = sorted(
    path
    for member in ("agents", "db", "knowledge", "supabase")
    for path in (PACKAGES / member / "src").rglob("*")
    if path.suffix in {".py", ".sql"}
)
NESTED = re.compile(r"\b(?:savepoint|rollback\s+to|release\s+savepoint|begin_nested)\b", re.IGNORECASE)
ENDS = re.compile(r"^\s*(?:commit|rollback)\b", re.IGNORECASE)


def strings(source: str) -> Iterator[str]:
    """The string constants of a module that are no docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def sql_of(path: Path, source: str) -> list[str]:
    return [source] if path.suffix == ".sql" else list(strings(source))


def nested(path: Path, source: str) -> list[str]:
    return [text for text in sql_of(path, source) if NESTED.search(text)]


def test_no_statement_of_a_library_takes_a_savepoint():
    assert len(SOURCES) > 50
    assert {path.name: nested(path, path.read_text(encoding="utf-8")) for path in SOURCES} == {
        path.name: [] for path in SOURCES
    }


@pytest.mark.parametrize("planted", ["SAVE = 'savepoint x'", "SAVE = f'{a} rollback  to x'"])
def test_a_planted_savepoint_is_found(planted):
    assert nested(Path("planted.py"), planted)
    assert not nested(Path("planted.py"), '"""Says why no savepoint is taken."""')


def test_transactions_are_committed_and_rolled_back_in_one_module():
    ending = {
        path.name
        for path in SOURCES
        if path.suffix == ".py" and any(map(ENDS.match, strings(path.read_text(encoding="utf-8"))))
    }

    assert ending == {"sessions.py"}


def test_nothing_repeats_by_itself_but_transactions_the_start_and_the_locks_of_retention():
    repeating = {
        path.name
        for path in (PACKAGES / "db" / "src").rglob("*.py")
        if re.search(r"\b(?:Retry|AsyncRetrying|tenacity)\(", path.read_text(encoding="utf-8"))
    }

    assert repeating == {"transactions.py", "database.py", "retention.py"}
