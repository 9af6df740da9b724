"""What an expression says, as far as its text and the names in it tell."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

Texts = Mapping[str, list[str]]
"""What each name was assigned, in the order of the lines."""

_NOTHING: Final[Texts] = {}
_SLOT: Final = re.compile(r"\{(\w*)[^{}]*\}")
_PERCENT: Final = re.compile(r"%(?:\(\w+\))?[-+ #0]*[\d*]*(?:\.[\d*]+)?[srdiouxXeEfgGaAc]")
# What is read may have been written to grow without end when it is put together.
_LONGEST: Final = 256
_MOST: Final = 1_000
_METHODS: Final[Mapping[str, Callable[[str], str]]] = {
    "upper": str.upper,
    "lower": str.lower,
    "strip": str.strip,
    "casefold": str.casefold,
    "decode": str,
    "encode": str,
    "title": str.title,
}


def constant(node: ast.AST | None, texts: Texts = _NOTHING) -> str | None:
    """The text of a literal or of what is put together from literals, with what is not known left out.

    Args:
        node: the expression; of one that adds, formats, joins or changes the case of literals, the result.
        texts: what names stand for; the last of several.

    Returns:
        The text, None where no part of it is known.
    """
    if isinstance(node, ast.Constant):
        return _plain(node.value)
    if isinstance(node, ast.Name):
        return texts[node.id][-1] if node.id in texts else None
    if isinstance(node, ast.JoinedStr):
        return _joined("", node.values, texts)
    if isinstance(node, ast.FormattedValue | ast.NamedExpr):
        return constant(node.value, texts)
    if isinstance(node, ast.BinOp):
        return _operation(node, texts)
    return _call(node, texts) if isinstance(node, ast.Call) else None


def constants(node: ast.AST | None, texts: Texts) -> list[str]:
    """Every text that an expression may have: those of a name, else the one that is known."""
    if isinstance(node, ast.Name):
        return texts.get(node.id, [])
    text = constant(node, texts)
    return [] if text is None else [text]


def _plain(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else None


def _joined(between: str, nodes: Sequence[ast.AST], texts: Texts) -> str:
    return between.join(constant(node, texts) or "" for node in nodes[:_MOST])


def _operation(node: ast.BinOp, texts: Texts) -> str | None:
    if isinstance(node.op, ast.Add):
        parts = [constant(part, texts) for part in _added(node)]
        known = [part for part in parts if part is not None]
        return "".join(known) if known else None
    left = constant(node.left, texts) if isinstance(node.op, ast.Mod) else None
    if left is None:
        return None
    values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
    given = iter([_short(value, texts) for value in values])
    return _PERCENT.sub(lambda _: next(given, ""), left, count=_MOST)


def _added(node: ast.expr) -> list[ast.expr]:
    """What a sum adds up, however long it is."""
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and len(parts) < _MOST:
        parts.append(node.right)
        node = node.left
    return [node, *reversed(parts)] if len(parts) < _MOST else parts[::-1]


def _short(node: ast.AST | None, texts: Texts) -> str:
    return (constant(node, texts) or "")[:_LONGEST]


def _call(node: ast.Call, texts: Texts) -> str | None:
    """The result of a method of a text."""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    base = constant(node.func.value, texts) if isinstance(node.func, ast.Attribute) else None
    if base is None:
        return None
    if method == "format":
        return _formatted(base, node, texts)
    if method == "join":
        parts = node.args[0] if node.args else None
        return _joined(
            base[:_LONGEST], parts.elts if isinstance(parts, ast.List | ast.Tuple | ast.Set) else (), texts
        )
    if method == "replace" and len(node.args) > 1:
        old, new = (_short(argument, texts) for argument in node.args[:2])
        return base.replace(old, new, _MOST)
    return _METHODS[method](base) if method in _METHODS else None


def _formatted(base: str, node: ast.Call, texts: Texts) -> str:
    given = {str(index): argument for index, argument in enumerate(node.args)}
    given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    numbers = iter(range(len(node.args)))

    def value(slot: re.Match[str]) -> str:
        return _short(given.get(slot[1] or str(next(numbers, ""))), texts)

    return _SLOT.sub(value, base, count=_MOST)


def assigned(tree: ast.AST) -> dict[str, list[str]]:
    """What every name of a module is assigned, where that is a text."""
    texts: dict[str, list[str]] = {}
    for target, value in assignments(tree):
        text = constant(value, texts) if isinstance(target, ast.Name) else None
        if text is not None and isinstance(target, ast.Name):
            texts.setdefault(target.id, []).append(text[:_LONGEST])
    return texts


def assignments(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Every target of an assignment and what it is given, those of tuples one by one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _pairs(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            yield node.target, node.value


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    sequence = ast.Tuple | ast.List
    if isinstance(target, sequence) and isinstance(value, sequence) and len(target.elts) == len(value.elts):
        yield from zip(target.elts, value.elts, strict=True)
    else:
        yield target, value


def docstrings(tree: ast.AST) -> set[int]:
    """The `id` of every node that is text on its own: docstrings, which are read by people only."""
    alone = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    return {id(value) for value in alone if isinstance(value, ast.Constant | ast.JoinedStr)}
