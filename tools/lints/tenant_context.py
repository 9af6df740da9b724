"""A user's client touches rows only after set_tenant_context, or where it is taken as a TenantClient."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.lints import Violation, python_files

MAKERS = frozenset({"create_client", "create_server_client"})
UNBOUND = frozenset({"Client", "ServerClient"})
ENTER = "set_tenant_context"
TOUCHES = frozenset({"table", "from_", "rpc", "schema", "postgrest", "storage", "functions"})
ALLOWED = "packages/supabase/src/sba_supabase/clients/"

Function = ast.FunctionDef | ast.AsyncFunctionDef
State = frozenset[str]
"""The expressions that are clients of no tenant yet."""


def _name(node: ast.expr | None) -> str:
    """The last part of what is called or named."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_unbound_type(annotation: ast.expr | None) -> bool:
    """Whether an annotation speaks of a client of no tenant, alone or as one of several."""
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _is_unbound_type(_parsed(node.value)):
                return True
        elif isinstance(node, ast.expr) and _name(node) in UNBOUND:
            return True
    return False


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


def _either(*states: State | None) -> State | None:
    """What may hold after any of several ways; None when none of them goes on."""
    going = [state for state in states if state is not None]
    return frozenset().union(*going) if going else None


def _entered(node: ast.AST) -> str | None:
    """The client that a call gives a tenant."""
    if not isinstance(node, ast.Call) or _name(node.func) != ENTER:
        return None
    named = [keyword.value for keyword in node.keywords if keyword.arg == "client"]
    client = next(iter([*node.args, *named]), None)
    return ast.unparse(client) if client is not None else None


def _parameters(function: Function) -> tuple[State, State]:
    """All parameters, and those that are clients of no tenant yet."""
    given = function.args
    every = (*given.posonlyargs, *given.args, *given.kwonlyargs)
    unbound = (argument.arg for argument in every if _is_unbound_type(argument.annotation))
    return frozenset(argument.arg for argument in every), frozenset(unbound)


class _Flow:
    """Follows the clients of one module through its statements.

    Args:
        tree: the module.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.lines: list[int] = []
        self._makers = MAKERS | set(_aliases(tree))
        self._makers |= {
            node.name for node in ast.walk(tree) if isinstance(node, Function) and self._makes(node)
        }
        self._block(tree.body, frozenset())

    def _makes(self, function: Function) -> bool:
        """Whether a function answers with a client of no tenant."""
        returned = (node.value for node in ast.walk(function) if isinstance(node, ast.Return))
        return _is_unbound_type(function.returns) or any(
            value is not None and self._is_unbound(value, frozenset()) for value in returned
        )

    def _block(self, statements: Iterable[ast.stmt], state: State) -> State | None:
        """The state after some statements, None where they never end."""
        for statement in statements:
            after = self._statement(statement, state)
            if after is None:
                return None
            state = after
        return state

    def _statement(self, node: ast.stmt, state: State) -> State | None:
        after: State | None = state
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, state)
            case ast.ClassDef():
                self._block(node.body, state | self._attributes(node))
            case ast.If() | ast.Match():
                after = self._chosen(node, state)
            case ast.For() | ast.AsyncFor() | ast.While():
                after = self._loop(node, state)
            case ast.With() | ast.AsyncWith():
                after = self._block(node.body, self._opened(node, state))
            case ast.Try() | ast.TryStar():
                after = self._tried(node, state)
            case _:
                done = self._look(node, state)
                after = None if isinstance(node, ast.Return | ast.Raise) else done
        return after

    def _chosen(self, node: ast.If | ast.Match, state: State) -> State | None:
        if isinstance(node, ast.If):
            self._look(node.test, state)
            return _either(self._block(node.body, state), self._block(node.orelse, state))
        self._look(node.subject, state)
        return _either(state, *(self._block(case.body, state) for case in node.cases))

    def _function(self, function: Function, state: State) -> None:
        every, unbound = _parameters(function)
        self._block(function.body, frozenset(name for name in state if name not in every) | unbound)

    def _attributes(self, node: ast.ClassDef) -> State:
        """What methods keep a client of no tenant in, and none of them gives one."""
        inner = list(ast.walk(node))
        entered = {_entered(each) for each in inner}
        kept = (
            ast.unparse(target)
            for each in inner
            for target, value in _bound(each)
            if isinstance(target, ast.Attribute)
            and value is not None
            and self._is_unbound(value, frozenset())
        )
        return frozenset(kept) - entered

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, state: State) -> State | None:
        start = state
        if isinstance(node, ast.While):
            self._look(node.test, state)
        else:
            self._look(node.iter, state)
            start = self._bind(node.target, node.iter, state)
        return self._block(node.orelse, _either(state, self._block(node.body, start)) or state)

    def _opened(self, node: ast.With | ast.AsyncWith, state: State) -> State:
        for item in node.items:
            state = self._look(item.context_expr, state)
            if item.optional_vars is not None:
                state = self._bind(item.optional_vars, item.context_expr, state)
        return state

    def _tried(self, node: ast.Try | ast.TryStar, state: State) -> State | None:
        done = self._block(node.body, state)
        failed = _either(state, done) or state
        handled = [self._block(handler.body, failed) for handler in node.handlers]
        ended = self._block(node.orelse, done) if done is not None else None
        after = _either(ended, *handled)
        last = self._block(node.finalbody, after if after is not None else failed)
        return last if after is not None else None

    def _look(self, node: ast.AST, state: State) -> State:
        """Take note of what a simple statement or an expression touches; the state after it."""
        inner = list(ast.walk(node))
        self.lines += [
            each.lineno for each in inner if isinstance(each, ast.expr) and self._touches(each, state)
        ]
        state -= {_entered(each) for each in inner}
        for each in inner:
            for target, value in _bound(each):
                state = self._bind(target, value, state)
        return state

    def _touches(self, node: ast.expr, state: State) -> bool:
        """Whether the rows, files or functions of a client without a tenant are touched."""
        if isinstance(node, ast.Attribute):
            return node.attr in TOUCHES and self._is_unbound(node.value, state)
        if not isinstance(node, ast.Call) or _name(node.func) != "getattr" or len(node.args) < len("xy"):
            return False
        wanted = node.args[1]
        told = not isinstance(wanted, ast.Constant) or wanted.value in TOUCHES
        return told and self._is_unbound(node.args[0], state)

    def _is_unbound(self, node: ast.expr, state: State) -> bool:
        """Whether an expression is, or holds, a client without a tenant."""
        if isinstance(node, ast.Name | ast.Attribute):
            return ast.unparse(node) in state
        if isinstance(node, ast.Call):
            return _name(node.func) in self._makers
        return any(self._is_unbound(each, state) for each in _inside(node))

    def _bind(self, target: ast.expr, value: ast.expr | None, state: State) -> State:
        """The state once a target has become a value."""
        if isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else [value] * len(target.elts)
            for each, its in zip(target.elts, values, strict=False):
                state = self._bind(each, its, state)
            return state
        name = frozenset({ast.unparse(target)})
        return state | name if value is not None and self._is_unbound(value, state) else state - name


def _inside(node: ast.expr) -> list[ast.expr]:
    """What an expression may come down to, or holds."""
    found: list[ast.expr] = []
    match node:
        case ast.Await(value=inner) | ast.NamedExpr(value=inner) | ast.Starred(value=inner):
            found = [inner]
        case ast.Subscript(value=inner) | ast.ListComp(elt=inner) | ast.GeneratorExp(elt=inner):
            found = [inner]
        case ast.IfExp(body=body, orelse=other):
            found = [body, other]
        case ast.List(elts=several) | ast.Tuple(elts=several) | ast.BoolOp(values=several):
            found = several
    return found


def _aliases(tree: ast.Module) -> Iterator[str]:
    """Other names under which the makers are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (name.asname for name in node.names if name.asname and name.name in MAKERS)


def _bound(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Each target of an assignment, and what it becomes."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
        yield node.target, node.value


def violations(root: Path) -> Iterator[Violation]:
    """Calls that would run without a tenant, or in whichever the token names."""
    for path in python_files(root, "packages", "apps"):
        name = path.relative_to(root).as_posix()
        if name.startswith(ALLOWED):
            continue
        flow = _Flow(ast.parse(path.read_text(encoding="utf-8")))
        for line in sorted(set(flow.lines)):
            yield Violation(name, line, "call set_tenant_context first, or take a TenantClient")
