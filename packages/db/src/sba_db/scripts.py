"""Migration scripts: where they are, what they say, and how they must run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NOT_CODE: Final = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | (?<![\w$])[eE]'(?:[^'\\]|\\.|'')*' | '[^']*' | "[^"]*"
    | (?<![\w$])(\$(?:[a-z_]\w*)?\$).*?\1""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"\A(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_ALONE: Final = re.compile(r"\b(?:concurrently|vacuum)\b", re.IGNORECASE)
_CONCURRENTLY: Final = re.compile(r"\bconcurrently\b", re.IGNORECASE)
_NAME: Final = r"""(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?"""
_INDEX_BUILD: Final = re.compile(
    rf"create\s+(?:unique\s+)?index\s+concurrently\s+(?:if\s+not\s+exists\s+)?(?P<name>{_NAME})\s+on\s+"
    rf"(?:only\s+)?(?P<table>{_NAME})",
    re.IGNORECASE,
)
_INDEX_DROP: Final = re.compile(r"drop\s+index\s+concurrently\b(?P<careful>\s+if\s+exists\b)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IndexBuild:
    """An index that is built beside running writes: its name, and its table as the script spells it."""

    name: str
    table: str


@dataclass(frozen=True, slots=True)
class ScriptStatement:
    """One statement of a script.

    Attributes:
        text: As written, without what stands before it.
        line: Its first line in the script, from 1.
    """

    text: str
    line: int

    @property
    def index_build(self) -> IndexBuild | None:
        """The index it builds concurrently, if that is what it does."""
        found = _INDEX_BUILD.match(self.text)
        return IndexBuild(found["name"].strip('"'), found["table"]) if found else None

    @property
    def repeatable(self) -> bool:
        """Whether it can run again, whatever an earlier attempt has left."""
        dropped = _INDEX_DROP.match(self.text)
        return self.index_build is not None or bool(dropped and dropped["careful"])


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration folder's script, as written."""

    name: str
    script: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the script, as Prisma computes it."""
        return hashlib.sha256(self.script.encode()).hexdigest()

    @property
    def checksums(self) -> frozenset[str]:
        """Its checksum, and those it has with either kind of line ends: a checkout may have changed them."""
        unix = self.script.replace("\r\n", "\n")
        texts = (self.script, unix, unix.replace("\n", "\r\n"))
        return frozenset(Migration(self.name, text).checksum for text in texts)

    @property
    def transactional(self) -> bool:
        """False for a script with a statement that cannot run in a transaction."""
        return _ALONE.search(masked(self.script)) is None

    @property
    def statements(self) -> list[ScriptStatement]:
        """The script's statements; a body between `begin atomic` and `end` is not recognised as one."""
        return list(_statements(self.script))

    @property
    def repeatable(self) -> bool:
        """Whether an attempt that broke off can be repeated: it only builds or drops indexes concurrently."""
        return not self.transactional and all(one.repeatable for one in self.statements)

    @property
    def rehearsal(self) -> str:
        """The script as it runs inside a transaction, on tables that nobody else sees."""
        script = self.script
        for found in reversed(list(_CONCURRENTLY.finditer(masked(script)))):
            script = script[: found.start()] + script[found.end() :]
        return script


def migrations_folder() -> Path:
    """Where the migrations are: inside the installed wheel, or beside the source in a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / "prisma" / "migrations"
    return installed if installed.is_dir() else here.parent.parent / "prisma" / "migrations"


def read_migrations(folder: Path | None = None) -> list[Migration]:
    """The migrations of a folder, in the order they apply."""
    scripts = sorted((folder or migrations_folder()).glob("*/migration.sql"))
    return [Migration(path.parent.name, path.read_bytes().decode()) for path in scripts]


def masked(script: str) -> str:
    """The text, of the same length, with blanks for comments and quoted text."""
    return _NOT_CODE.sub(lambda found: " " * len(found[0]), script)


def _statements(script: str) -> Iterator[ScriptStatement]:
    start = 0
    ends = [found.start() for found in re.finditer(";", masked(script))]
    for end in [*ends, len(script)]:
        before = _COMMENT.match(script[start:end])
        at = start + (before.end() if before else 0)
        if code := script[at:end].strip():
            yield ScriptStatement(code, script.count("\n", 0, at) + 1)
        start = end + 1
