"""A file holds one idea: at most 400 lines, and no function over 60."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation, python_files

FILE_LINES = 400
FUNCTION_LINES = 60


def violations(root: Path) -> Iterator[Violation]:
    """Files and functions that outgrew the limit."""
    for path in python_files(root, "packages", "apps", "tools", "benchmarks", "tests"):
        name, text = str(path.relative_to(root)), path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            yield Violation(name, 0, f"{lines} lines; split it by idea (limit {FILE_LINES})")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    yield Violation(
                        name, node.lineno, f"{node.name} is {length} lines long (limit {FUNCTION_LINES})"
                    )
