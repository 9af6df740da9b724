"""What an expression says, as far as its text alone tells."""

from __future__ import annotations

import ast


def constant(node: ast.AST | None) -> str | None:
    """The text of a literal, of literals added up, or of an f-string with its expressions left out."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(constant(part) or "" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = constant(node.left), constant(node.right)
        return None if left is None and right is None else (left or "") + (right or "")
    return None


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` of an expression that is only names, None for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return None if base is None else f"{base}.{node.attr}"
    return None


def docstrings(tree: ast.AST) -> set[int]:
    """The `id` of every node that is text on its own: docstrings, which are read by people only."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
