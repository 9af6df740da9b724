"""One module's imports, calls and texts, held against the rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sba_supabase.audit.naming import Names
from sba_supabase.audit.reading import assigned, constant, constants, docstrings
from sba_supabase.audit.rules import (
    ADDRESS,
    DIRECT_IMPORT,
    FACTORIES,
    OWN_CLIENT,
    PUBLIC,
    PUBLIC_VARIABLE,
    instead_of,
    package_of,
)
from sba_supabase.audit.settings_read import own_settings

_RUNNERS: Final = frozenset({"exec", "eval", "compile"})
_DEEPEST: Final = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a module that breaks a rule.

    Attributes:
        rule: the rule's `id`.
        node: where.
        what: what is there and what to use instead.
    """

    rule: str
    node: ast.stmt | ast.expr
    what: str


class Module:
    """What a module imports under which name, and the places in it that break a rule.

    Args:
        tree: the module.
        depth: how many texts that are run it is in.
    """

    def __init__(self, tree: ast.Module, *, depth: int = 0) -> None:
        self._tree = tree
        self._depth = depth
        self._silent = docstrings(tree)
        self._texts = assigned(tree)
        self._names = Names(tree, self._texts)

    def places(self) -> Iterator[Place]:
        """Every place that breaks a rule, in no order."""
        for node in ast.walk(self._tree):
            yield from self._imported(node)
            yield from self._called(node)
            yield from self._run(node)
            yield from self._named(node)
            yield from self._said(node)
        for rule, node, what in own_settings(self._tree, self._names, self._texts):
            yield Place(rule, node, what)

    def _imported(self, node: ast.AST) -> Iterator[Place]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from self._direct(node, alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield from self._direct(node, node.module, alias.name)
        elif isinstance(node, ast.Call):
            for module in self._names.dynamic(node):
                yield from self._direct(node, module)
        elif isinstance(node, ast.Subscript) and self._names.meaning(node.value) == "sys.modules":
            yield from self._direct(node, self._names.meaning(node) or "")

    def _direct(self, node: ast.stmt | ast.expr, module: str, name: str | None = None) -> Iterator[Place]:
        if package_of(module) is not None:
            shown = module if name is None else f"{module}.{name}"
            yield Place(DIRECT_IMPORT.id, node, f"imports {shown}; use: {instead_of(module, name)}")

    def _called(self, node: ast.AST) -> Iterator[Place]:
        """A client made by its class, by a function, or by a class method such as `AsyncClient.create`."""
        name = self._names.meaning(node.func) if isinstance(node, ast.Call) else None
        if name is None or not isinstance(node, ast.Call) or package_of(name) is None:
            return
        made = next((part for part in name.split(".")[:0:-1] if part in FACTORIES), None)
        if made is not None:
            advice = instead_of(name, made)
            yield Place(OWN_CLIENT.id, node, f"makes a client by {name}; use: {advice}")

    def _run(self, node: ast.AST) -> Iterator[Place]:
        """What stands in a text that is run."""
        if not isinstance(node, ast.Call) or not node.args or self._depth >= _DEEPEST:
            return
        if self._names.meaning(node.func) not in _RUNNERS:
            return
        for text in constants(node.args[0], self._texts):
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            for place in Module(tree, depth=self._depth + 1).places():
                yield replace(place, node=node)

    def _named(self, node: ast.AST) -> Iterator[Place]:
        """A variable, a member, a parameter or a field that has a public variable's name."""
        name = None
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.keyword | ast.arg):
            name = node.arg
        if name is not None and PUBLIC.match(name):
            where = node.value if isinstance(node, ast.keyword) else node
            yield self._public(where, name.upper())  # type: ignore[arg-type]  # every one of these has a line

    def _said(self, node: ast.AST) -> Iterator[Place]:
        if not isinstance(node, ast.expr) or id(node) in self._silent or isinstance(node, ast.Name):
            return
        text = constant(node, self._texts)
        if text is None:
            return
        self._silent |= {id(part) for part in ast.walk(node)}  # parts of it say nothing more
        borrowed = self._borrowed(node)
        public, address = PUBLIC.search(text), ADDRESS.search(text)
        if public is not None and not any(map(PUBLIC.search, borrowed)):
            yield self._public(node, public[0].upper())
        if address is not None and not any(map(ADDRESS.search, borrowed)):
            advice = "from sba_supabase import create_server_client"
            yield Place(OWN_CLIENT.id, node, f"speaks to {address[0]} by itself; use: {advice}")

    def _borrowed(self, node: ast.expr) -> list[str]:
        """What names in an expression say, which is told where they are assigned."""
        names = (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        return [text for name in names for text in self._texts.get(name, ())]

    @staticmethod
    def _public(node: ast.stmt | ast.expr, name: str) -> Place:
        advice = "from sba_supabase import ServerSettings, load_settings"
        return Place(PUBLIC_VARIABLE.id, node, f"names {name} on a server; use: {advice}")
