"""The page that says what the stand-in covers claims nothing that no test shows."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "stand-in.md").read_text("utf-8")
PLACES = ("tests/integration/local/rest", "tests/integration/local/gateway", "tests/contract/local/rest")
DOCUMENTATION = re.compile(
    r"\[[^\]]+\]\((https://(?:docs\.postgrest\.org/en/stable|supabase\.com/docs)/[^)\s]+)\)"
)


def rows():
    """Behaviour, whether it is covered, what it follows, and what shows it."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("behaviour", "---") and not row[0].startswith("**")]


def functions_of(name):
    """The names of the tests in a file."""
    (path,) = [ROOT / place / name for place in PLACES if (ROOT / place / name).is_file()]
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}


def test_there_is_a_row_for_every_part():
    assert len(rows()) > 70
    for part in ("Reading", "Embedding", "Writing", "Functions", "Auth", "Storage", "Gateway"):
        assert f"| **{part}** |" in PAGE


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_names_its_documentation_and_the_tests_that_show_it(row):
    behaviour, covered, follows, shown = row
    assert behaviour
    assert DOCUMENTATION.search(follows)
    assert covered.startswith(("yes", "no", "partly"))
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", shown)
    assert named or covered.startswith("no")
    for name, test in named:
        assert test in functions_of(name)
