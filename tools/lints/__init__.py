"""House rules, one a file: each module states its rule and yields the places that break it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One place that breaks a rule.

    Attributes:
        path: The file, relative to the repository's root.
        line: The line, from 1; 0 when the whole file is meant.
        message: What is wrong and what to do instead.
    """

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def tracked_files(root: Path) -> Iterator[Path]:
    """Every file git knows or would add; in a plain folder, every file below it."""
    if (root / ".git").exists():
        listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listing, cwd=root, check=True, capture_output=True, text=True).stdout  # noqa: S603 - a fixed argument list
        paths = [root / name for name in names.split("\0") if name]
    else:
        paths = list(root.rglob("*"))
    return (path for path in sorted(paths) if path.is_file() and not path.is_symlink())


def python_files(root: Path, *folders: str) -> Iterator[Path]:
    """The Python files below the named top-level folders."""
    for path in tracked_files(root):
        top = path.relative_to(root).parts[0]
        if path.suffix == ".py" and top in folders:
            yield path


def text_of(path: Path) -> str | None:
    """The file as text, or None for a binary one."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
