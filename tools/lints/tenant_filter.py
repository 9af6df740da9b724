"""Every statement on a tenant's table filters by `%(tenant)s` itself, besides row-level security."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.lints import Violation, python_files

TABLES = (
    "agent_runs|agent_steps|tool_calls|run_events|idempotency_keys|audit_logs|audit_seals|audit_checkpoints"
    "|usage_metrics|documents|chunks"
)
TOUCHES = re.compile(rf"\b(?:from|join|into|update)\s+(?:(?:service|public)\.)?(?:{TABLES})\b", re.IGNORECASE)
STATEMENT = re.compile(r"\s*(?:select|with|insert|update|delete|merge)\b", re.IGNORECASE)
FOLDERS = ("sba_db/repositories", "sba_knowledge", "sba_agents", "sba_api", "sba_ws")
Constants = dict[str, str]


def _text(node: ast.expr, known: Mapping[str, str]) -> str | None:
    """A string expression with the constants that it is composed of filled in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.FormattedValue):
        return known.get(node.value.id, "") if isinstance(node.value, ast.Name) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value, known) or "" for value in node.values)
    return None


def _imported(node: ast.ImportFrom, source: Path) -> Constants:
    path = source.joinpath(*(node.module or "").split(".")).with_suffix(".py")
    if not path.is_file():
        return {}
    theirs = _constants(ast.parse(path.read_text(encoding="utf-8")), source)
    return {alias.asname or alias.name: theirs[alias.name] for alias in node.names if alias.name in theirs}


def _constants(tree: ast.Module, source: Path) -> Constants:
    """The module's string constants, those it imports from its own distribution included."""
    known: Constants = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            known |= _imported(node, source)
        elif isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            text = _text(node.value, known)
            if isinstance(target, ast.Name) and text is not None:
                known[target.id] = text
    return known


def _statements(tree: ast.Module, source: Path) -> Iterator[tuple[int, str]]:
    known = _constants(tree, source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant | ast.JoinedStr) or id(node) in parts:
            continue
        text = _text(node, known)
        if text and STATEMENT.match(text) and TOUCHES.search(text):
            yield node.lineno, text


def violations(root: Path) -> Iterator[Violation]:
    """SQL strings that name a tenant's table without the tenant."""
    for path in python_files(root, "packages", "apps"):
        name = path.relative_to(root).as_posix()
        if not any(f"/src/{folder}" in name for folder in FOLDERS):
            continue
        source = root.joinpath(*path.relative_to(root).parts[:3])
        for line, text in _statements(ast.parse(path.read_text(encoding="utf-8")), source):
            if "%(tenant)s" not in text:
                yield Violation(name, line, "filter by tenant_id = %(tenant)s explicitly")
