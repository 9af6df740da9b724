"""A user's client touches rows only after set_tenant_context, or where it is taken as a TenantClient."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation, python_files

MAKERS = frozenset({"create_client", "create_server_client"})
UNBOUND = frozenset({"Client", "ServerClient"})
ENTER = "set_tenant_context"
TOUCHES = frozenset({"table", "from_", "rpc", "schema", "postgrest", "storage", "functions"})
ALLOWED = "packages/supabase/src/sba_supabase/clients/"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _name(node: ast.expr | None) -> str:
    """The last part of what is called or annotated."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.rpartition(".")[2]
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _calls(node: ast.AST | None, names: frozenset[str]) -> bool:
    """Whether an expression is a call of one of them, awaited or not."""
    call = node.value if isinstance(node, ast.Await) else node
    return isinstance(call, ast.Call) and _name(call.func) in names


def _bound(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Each target of an assignment or a with, and what it becomes."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
        yield node.target, node.value
    elif isinstance(node, ast.AsyncWith | ast.With):
        yield from ((item.optional_vars, item.context_expr) for item in node.items if item.optional_vars)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a body in the order of its lines, without those of functions inside it."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, Function | ast.ClassDef | ast.Lambda):
            yield from _own(child)


def _parameters(scope: ast.AST) -> set[str]:
    """Parameters that are clients of no tenant yet."""
    if not isinstance(scope, Function):
        return set()
    arguments = (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs)
    return {argument.arg for argument in arguments if _name(argument.annotation) in UNBOUND}


def _entered(node: ast.AST) -> str | None:
    """The client that a call gives a tenant."""
    if isinstance(node, ast.Call) and _name(node.func) == ENTER and node.args:
        return ast.unparse(node.args[0])
    return None


def _touches(node: ast.Attribute, unbound: set[str]) -> bool:
    """Whether the rows, files or functions of a client without a tenant are touched."""
    return node.attr in TOUCHES and (_calls(node.value, MAKERS) or ast.unparse(node.value) in unbound)


def _early(scope: ast.AST) -> Iterator[int]:
    """The lines where a client without a tenant is put to use."""
    unbound = _parameters(scope)
    for node in _own(scope):
        for target, value in _bound(node):
            change = unbound.add if _calls(value, MAKERS) else unbound.discard
            change(ast.unparse(target))
        unbound.discard(_entered(node) or "")
        if isinstance(node, ast.Attribute) and _touches(node, unbound):
            yield node.lineno


def violations(root: Path) -> Iterator[Violation]:
    """Calls that would run without a tenant, or in whichever the token names."""
    for path in python_files(root, "packages", "apps"):
        name = path.relative_to(root).as_posix()
        if name.startswith(ALLOWED):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        scopes = (tree, *(node for node in ast.walk(tree) if isinstance(node, Function | ast.Lambda)))
        for line in (line for scope in scopes for line in _early(scope)):
            yield Violation(name, line, "call set_tenant_context first, or take a TenantClient")
