"""A skipped test is a failure unless tests/skips.toml gives its reason and the CI job that runs it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation, python_files

NAMES = {"skip", "skipif", "xfail", "importorskip"}


def _skips(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield node.lineno


def violations(root: Path) -> Iterator[Violation]:
    """Skips that are not on the list, and entries of the list that say too little."""
    listing = root / "tests" / "skips.toml"
    listed = tomllib.loads(listing.read_text(encoding="utf-8")) if listing.is_file() else {}
    workflow = (root / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    for name, entry in listed.items():
        if not entry.get("reason") or f"  {entry.get('job')}:" not in workflow:
            yield Violation("tests/skips.toml", 0, f"{name} needs a reason and a job that ci.yml has")
    for path in python_files(root, "tests"):
        name = path.relative_to(root).as_posix()
        for line in _skips(ast.parse(path.read_text(encoding="utf-8"))):
            if name not in listed:
                yield Violation(name, line, "a skip that tests/skips.toml does not list")
