"""One module's imports, calls and texts, held against the rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from sba_supabase.audit.reading import constant, docstrings, dotted
from sba_supabase.audit.rules import (
    ADDRESS,
    DIRECT_IMPORT,
    FACTORIES,
    OWN_CLIENT,
    OWN_SETTING,
    PUBLIC,
    PUBLIC_VARIABLE,
    SETTING,
    instead_of,
    package_of,
)

_IMPORTERS = frozenset(
    {"importlib.import_module", "importlib.__import__", "builtins.__import__", "__import__"}
)
_GETTERS = frozenset({"os.getenv", "os.environ.get", "os.environ.pop", "os.environ.setdefault", "os.getenvb"})
_ENVIRONMENT = "os.environ"


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
    """

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._silent = docstrings(tree)
        self._names: dict[str, str] = {}
        for node in ast.walk(tree):
            self._learn(node)

    def places(self) -> Iterator[Place]:
        """Every place that breaks a rule, in no order."""
        for node in ast.walk(self._tree):
            yield from self._imported(node)
            yield from self._called(node)
            yield from self._read(node)
            yield from self._declared(node)
            yield from self._said(node)

    def _learn(self, node: ast.AST) -> None:
        """Remember which names stand for what was imported, and for other names of it."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self._names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                self._names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            target = self._target(node.value)
            if target is not None:
                self._names[node.targets[0].id] = target

    def _target(self, value: ast.expr) -> str | None:
        """What an assigned expression stands for, where it is imported or a name of what is."""
        if isinstance(value, ast.Call):
            return self._dynamic(value)
        first = (dotted(value) or "").partition(".")[0]
        return self._meaning(value) if first in self._names else None

    def _meaning(self, node: ast.AST) -> str | None:
        """The full name of an expression, with what its first part stands for."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
            module = self._dynamic(node.value)
            return None if module is None else f"{module}.{node.attr}"
        name = dotted(node)
        if name is None:
            return None
        first, dot, rest = name.partition(".")
        return self._names.get(first, first) + dot + rest

    def _dynamic(self, call: ast.Call) -> str | None:
        """The module that a call imports by its name."""
        if self._meaning(call.func) not in _IMPORTERS:
            return None
        named = next((keyword.value for keyword in call.keywords if keyword.arg == "name"), None)
        return constant(call.args[0] if call.args else named)

    def _imported(self, node: ast.AST) -> Iterator[Place]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from self._direct(node, alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield from self._direct(node, node.module, alias.name)
        elif isinstance(node, ast.Call):
            yield from self._direct(node, self._dynamic(node) or "")

    def _direct(self, node: ast.stmt | ast.expr, module: str, name: str | None = None) -> Iterator[Place]:
        if package_of(module) is not None:
            shown = module if name is None else f"{module}.{name}"
            yield Place(DIRECT_IMPORT.id, node, f"imports {shown}; use: {instead_of(module, name)}")

    def _called(self, node: ast.AST) -> Iterator[Place]:
        name = self._meaning(node.func) if isinstance(node, ast.Call) else None
        if name is None or not isinstance(node, ast.Call):
            return
        module, _, last = name.rpartition(".")
        if last in FACTORIES and package_of(module) is not None:
            yield Place(OWN_CLIENT.id, node, f"makes a client by {name}; use: {instead_of(module, last)}")

    def _read(self, node: ast.AST) -> Iterator[Place]:
        """A variable of Supabase's read from the environment."""
        text = None
        if isinstance(node, ast.Subscript) and self._meaning(node.value) == _ENVIRONMENT:
            text = constant(node.slice)
        elif isinstance(node, ast.Call) and node.args and self._meaning(node.func) in _GETTERS:
            text = constant(node.args[0])
        if text is not None and SETTING.match(text) and isinstance(node, ast.expr):
            advice = "from sba_supabase import ServerSettings, load_settings"
            yield Place(OWN_SETTING.id, node, f"reads {text} from the environment; use: {advice}")

    def _declared(self, node: ast.AST) -> Iterator[Place]:
        """A field of settings whose own name is a public variable's."""
        if not isinstance(node, ast.ClassDef):
            return
        for statement in node.body:
            target = statement.target if isinstance(statement, ast.AnnAssign) else None
            if isinstance(target, ast.Name) and PUBLIC.match(target.id):
                yield self._public(statement, target.id.upper())

    def _said(self, node: ast.AST) -> Iterator[Place]:
        if not isinstance(node, ast.expr) or id(node) in self._silent:
            return
        text = constant(node)
        if text is None:
            return
        self._silent |= {id(part) for part in ast.walk(node)}  # parts of it say nothing more
        if (public := PUBLIC.search(text)) is not None:
            yield self._public(node, public[0].upper())
        if (address := ADDRESS.search(text)) is not None:
            advice = "from sba_supabase import create_server_client"
            yield Place(OWN_CLIENT.id, node, f"speaks to {address[0]} by itself; use: {advice}")

    @staticmethod
    def _public(node: ast.stmt | ast.expr, name: str) -> Place:
        advice = "from sba_supabase import ServerSettings, load_settings"
        return Place(PUBLIC_VARIABLE.id, node, f"names {name} on a server; use: {advice}")
