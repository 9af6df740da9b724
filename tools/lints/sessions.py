"""A repository method takes a tenant's session: its first parameter is typed as one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation, python_files

SESSIONS = {"Reader", "TenantSession", "ReadSession", "WriteSession"}
PLATFORM = "system_health.py"


def _public(tree: ast.Module) -> Iterator[ast.AsyncFunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


def _takes_session(function: ast.AsyncFunctionDef) -> bool:
    first = function.args.args[0] if function.args.args else None
    annotation = first.annotation if first else None
    return isinstance(annotation, ast.Name) and annotation.id in SESSIONS


def violations(root: Path) -> Iterator[Violation]:
    """Repository methods that could run without a tenant."""
    for path in python_files(root, "packages"):
        name = path.relative_to(root).as_posix()
        if "/sba_db/repositories/" not in name or path.name == PLATFORM:
            continue
        for function in _public(ast.parse(path.read_text(encoding="utf-8"))):
            if not _takes_session(function):
                yield Violation(name, function.lineno, f"{function.name} must take a tenant session first")
