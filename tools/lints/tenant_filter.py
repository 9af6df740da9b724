"""Every statement on a tenant's table filters by `%(tenant)s` itself, besides row-level security."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation, python_files

TABLES = [
    "agent_runs",
    "agent_steps",
    "tool_calls",
    "run_events",
    "idempotency_keys",
    "audit_logs",
    "usage_metrics",
    "documents",
    "chunks",
]
STATEMENT = re.compile(
    rf"\b(?:from|join|into|update)\s+(?:(?:service|public)\.)?(?:{'|'.join(TABLES)})\b", re.IGNORECASE
)
FOLDERS = ("sba_db/repositories", "sba_knowledge", "sba_agents", "sba_api", "sba_ws")


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def violations(root: Path) -> Iterator[Violation]:
    """SQL string literals that name a tenant's table without the tenant."""
    for path in python_files(root, "packages", "apps"):
        name = path.relative_to(root).as_posix()
        if not any(f"/src/{folder}" in name for folder in FOLDERS):
            continue
        for line, text in _strings(ast.parse(path.read_text(encoding="utf-8"))):
            if STATEMENT.search(text) and "%(tenant)s" not in text:
                yield Violation(name, line, "filter by tenant_id = %(tenant)s explicitly")
