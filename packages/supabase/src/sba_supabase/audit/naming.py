"""What the names of a module stand for: what it imports, under whichever name and by whichever call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from sba_supabase.audit.reading import Texts, assignments, constants
from sba_supabase.audit.rules import FACTORIES, package_of

_IMPORTERS: Final = frozenset(
    {
        "importlib.import_module",
        "importlib.__import__",
        "importlib.util.find_spec",
        "importlib.find_loader",
        "__import__",
        "pkgutil.resolve_name",
        "pkgutil.get_loader",
        "runpy.run_module",
        "pytest.importorskip",
    }
)
_MODULES: Final = "sys.modules"
_BUILTINS: Final = frozenset({"builtins", "__builtins__"})
_BUILT_IN: Final = ("__import__", "exec", "eval", "compile")
_STARRED: Final = {
    "importlib": ("import_module", "__import__"),
    "os": ("environ", "environb", "getenv", "getenvb"),
    "sys": ("modules",),
}
_READER_CLASSES: Final = (".Config", ".Env")  # whose objects read settings
_COPIES: Final = frozenset({"dict", "vars"})


class Names:
    """What each name of a module stands for.

    Args:
        tree: the module.
        texts: what its names were assigned.
    """

    def __init__(self, tree: ast.Module, texts: Texts) -> None:
        self._texts = texts
        self._known = {name: name for name in _BUILT_IN}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._imported(node)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                self._imported_from(node, node.module)
        for target, value in assignments(tree):
            meaning = self._target(value) if isinstance(target, ast.Name) else None
            if meaning is not None and isinstance(target, ast.Name):
                self._known[target.id] = meaning

    def _imported(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self._known[alias.asname or top] = alias.name if alias.asname else top

    def _imported_from(self, node: ast.ImportFrom, module: str) -> None:
        for alias in node.names:
            if alias.name == "*":
                names = FACTORIES if package_of(module) else _STARRED.get(module, ())
                self._known |= {name: f"{module}.{name}" for name in names}
            else:
                self._known[alias.asname or alias.name] = f"{module}.{alias.name}"

    def _target(self, value: ast.expr) -> str | None:
        """What an assigned expression stands for, where it is imported or a name of what is."""
        meaning = self.meaning(value)
        first = value
        while isinstance(first, ast.Attribute):
            first = first.value
        plain = isinstance(first, ast.Name) and first.id not in self._known
        return None if plain else meaning

    def meaning(self, node: ast.AST) -> str | None:
        """The full name of what an expression is, with what its first part stands for; None of any other."""
        if isinstance(node, ast.Name):
            return self._known.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return self._member(node.value, node.attr)
        if isinstance(node, ast.NamedExpr):
            return self.meaning(node.value)
        if isinstance(node, ast.Subscript):
            return self._item(node)
        return self._called(node) if isinstance(node, ast.Call) else None

    def _member(self, owner: ast.AST, name: str) -> str | None:
        base = self.meaning(owner)
        if base is None:
            return None
        return name if base in _BUILTINS else f"{base}.{name}"

    def _item(self, node: ast.Subscript) -> str | None:
        """A module out of `sys.modules`, a name out of the builtins or of a module's `__dict__`."""
        base = self.meaning(node.value)
        names = constants(node.slice, self._texts)
        if base is None or not names:
            return None
        if base == _MODULES or base in _BUILTINS:
            return names[-1]
        owner = base.removesuffix(".__dict__")
        return f"{owner}.{names[-1]}" if owner != base else None

    def _called(self, call: ast.Call) -> str | None:
        """What a call gives back, where that is a module, a member of one, a copy, or reads settings."""
        function = self.meaning(call.func)
        if function == "getattr" and len(call.args) > 1:
            names = constants(call.args[1], self._texts)
            return self._member(call.args[0], names[-1]) if names else None
        if function in _COPIES and call.args:
            suffix = ".__dict__" if function == "vars" else ""
            base = self.meaning(call.args[0])
            return None if base is None else base + suffix
        if function is not None and function.endswith("environ.copy"):
            return function.removesuffix(".copy")
        if function is not None and function.endswith(_READER_CLASSES):
            return function
        modules = list(self.dynamic(call))
        return modules[-1] if modules else None

    def dynamic(self, call: ast.Call) -> Iterator[str]:
        """Every module that a call may import by its name."""
        if self.meaning(call.func) not in _IMPORTERS:
            return
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        first = call.args[0] if call.args else given.get("name", given.get("mod_name"))
        package = call.args[1] if len(call.args) > 1 else given.get("package")
        for name in constants(first, self._texts):
            anchors = constants(package, self._texts) if name.startswith(".") else [""]
            yield from (f"{anchor}{name}".replace(":", ".") for anchor in anchors)
