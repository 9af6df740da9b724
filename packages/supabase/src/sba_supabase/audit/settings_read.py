"""Variables of Supabase's that a module reads by itself, from the environment or by a library for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from sba_supabase.audit.naming import Names
from sba_supabase.audit.reading import Texts, constants
from sba_supabase.audit.rules import OWN_SETTING, SETTING

Found = tuple[str, ast.stmt | ast.expr, str]

_ENVIRONMENTS: Final = frozenset({"os.environ", "os.environb"})
_READERS: Final = frozenset(
    {"get", "pop", "setdefault", "getenv", "getenvb", "__getitem__", "config", "Config", "env", "Env"}
    | {"str", "url", "read_env", "get_env", "AliasChoices"}
)
_MEMBERS: Final = frozenset(
    {"alias", "validation_alias", "env", "envvar", "env_var", "env_name", "env_prefix", "key"}
)
_FIELD: Final = re.compile(r"supabase_\w+\Z", re.IGNORECASE)
_PREFIX: Final = re.compile(r"SUPABASE_\Z", re.IGNORECASE)
_SETTINGS: Final = re.compile(r"config|settings|secrets|dotenv|\Aenv\Z", re.IGNORECASE)
_BASE: Final = "BaseSettings"


def own_settings(tree: ast.Module, names: Names, texts: Texts) -> Iterator[Found]:
    """Every place that reads one: its rule, its node, and what is there."""
    reading = _Reading(names, texts)
    for node in ast.walk(tree):
        for name in reading.read(node):
            if isinstance(node, ast.expr | ast.stmt):
                yield _found(node, name)
        if isinstance(node, ast.ClassDef) and any(_is_settings(names, base) for base in node.bases):
            yield from (_found(field, name.upper()) for field, name in _fields(node))


def _found(node: ast.stmt | ast.expr, name: str) -> Found:
    advice = "from sba_supabase import ServerSettings, load_settings"
    return OWN_SETTING.id, node, f"reads {name} from the environment; use: {advice}"


def _is_settings(names: Names, base: ast.expr) -> bool:
    return (names.meaning(base) or "").rpartition(".")[2] == _BASE


def _fields(node: ast.ClassDef) -> Iterator[tuple[ast.stmt, str]]:
    for statement in node.body:
        target = statement.target if isinstance(statement, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and _FIELD.match(target.id):
            yield statement, target.id


class _Reading:
    """Which variables one expression reads.

    Args:
        names: what the module's names stand for.
        texts: what they were assigned.
    """

    def __init__(self, names: Names, texts: Texts) -> None:
        self._names = names
        self._texts = texts

    def read(self, node: ast.AST) -> Iterator[str]:
        for text in self._asked(node):
            if SETTING.match(text) or _PREFIX.match(text):
                yield text

    def _asked(self, node: ast.AST) -> Iterator[str]:
        """The texts that an expression may ask some settings for."""
        if isinstance(node, ast.Subscript) and self._holds_settings(node):
            yield from constants(node.slice, self._texts)
        elif isinstance(node, ast.Compare) and any(map(self._is_environment, node.comparators)):
            yield from constants(node.left, self._texts)
        elif isinstance(node, ast.Call):
            yield from self._arguments(node)

    def _arguments(self, call: ast.Call) -> Iterator[str]:
        function = self._names.meaning(call.func) or (
            call.func.attr if isinstance(call.func, ast.Attribute) else ""
        )
        if function.rpartition(".")[2] in _READERS or self._makes_readers(call.func):
            for argument in call.args:
                yield from constants(argument, self._texts)
        for keyword in call.keywords:
            several = (
                keyword.value.elts if isinstance(keyword.value, ast.List | ast.Tuple) else [keyword.value]
            )
            for value in several if keyword.arg in _MEMBERS else ():
                yield from constants(value, self._texts)

    def _makes_readers(self, function: ast.expr) -> bool:
        """Whether it is an object that reads when called, such as Starlette's `Config()`."""
        return (self._names.meaning(function) or "").endswith((".Config", ".Env"))

    def _holds_settings(self, node: ast.Subscript) -> bool:
        """Whether it is the environment, or is read from what a library or a name says are settings."""
        if self._is_environment(node.value):
            return True
        name = (self._names.meaning(node.value) or "").rpartition(".")[2]
        named = isinstance(node.value, ast.Call) or _SETTINGS.search(name) is not None
        return named and isinstance(node.ctx, ast.Load)

    def _is_environment(self, node: ast.expr) -> bool:
        return self._names.meaning(node) in _ENVIRONMENTS
