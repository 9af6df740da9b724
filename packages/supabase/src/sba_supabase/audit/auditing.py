"""The audit of services for Supabase used past `sba_supabase`."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sba_supabase.audit.allowing import allow_comments
from sba_supabase.audit.notebooks import read_notebook
from sba_supabase.audit.rules import BARE_ALLOW, UNUSED_ALLOW
from sba_supabase.audit.visiting import Module, Place
from sba_supabase.checks.allowing import Allowance, AllowList
from sba_supabase.checks.findings import Finding, Problem, Report, fingerprint
from sba_supabase.checks.walking import Walk

_SUFFIXES: Final = frozenset({".py", ".pyi", ".pyw"})
_NOTEBOOK: Final = ".ipynb"
_SHEBANG: Final = 128
_LARGEST: Final = 4 << 20
_UNPARSED: Final = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
SKIPPED: Final = ("*/.venv", "*/node_modules", "*/.git", "*/__pycache__", "*/.ipynb_checkpoints")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """How to audit.

    Attributes:
        exclude: patterns of paths to leave out, besides virtual environments and the like.
        allow: findings that are allowed, besides those with a comment beside them.
    """

    exclude: tuple[str, ...] = ()
    allow: tuple[Allowance, ...] = ()


def audit(paths: Iterable[Path], options: AuditOptions | None = None) -> Report:
    """Look for Supabase used directly below some paths, in Python.

    Args:
        paths: files and folders of services; of the files, those with a Python ending, notebooks, and those
            without an ending that name Python in their first line.
        options: how.

    Returns:
        What was found, with what to import instead, and what could not be parsed.
    """
    return _Audit(options or AuditOptions()).run(tuple(paths))


class _Audit:
    """One audit."""

    def __init__(self, options: AuditOptions) -> None:
        self._options = options
        self._problems: list[Problem] = []
        self._findings: list[Finding] = []
        self._files = 0
        self._size = 0

    def run(self, paths: tuple[Path, ...]) -> Report:
        walk = Walk(exclude=(*SKIPPED, *self._options.exclude), tell=self._tell)
        for file in walk.files(paths):
            self._file(file)
        allow = AllowList(self._options.allow)
        judged = sorted(
            finding if finding.reason is not None else allow.judged(finding) for finding in self._findings
        )
        return Report(
            findings=tuple(finding for finding in judged if finding.reason is None),
            allowed=tuple(finding for finding in judged if finding.reason is not None),
            problems=tuple(sorted(self._problems)),
            notes=allow.unused(),
            files=self._files,
            size=self._size,
        )

    def _tell(self, path: str, reason: str) -> None:
        self._problems.append(Problem(path, reason))

    def _file(self, file: Path) -> None:
        path = file.as_posix()
        try:
            if not _is_python(file):
                return
            self._files += 1
            size = file.stat().st_size
            if size > _LARGEST:
                self._tell(path, f"larger than {_LARGEST >> 20} MB")
                return
            self._size += size
            self._findings += _found(path, file)
        except OSError as error:
            self._tell(path, f"cannot be read: {error.strerror}")
        except _UNPARSED as error:
            line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            self._tell(path, f"cannot be parsed: {type(error).__name__}{line}")


def _is_python(file: Path) -> bool:
    if file.suffix:
        return file.suffix in _SUFFIXES or file.suffix == _NOTEBOOK
    with file.open("rb") as stream:
        first = stream.read(_SHEBANG).split(b"\n")[0]
    return first.startswith(b"#!") and b"python" in first


def _found(path: str, file: Path) -> list[Finding]:
    if file.suffix != _NOTEBOOK:
        return list(_audited(path, file.read_bytes()))
    notebook = read_notebook(file.read_bytes())
    found = []
    for finding in _audited(path, notebook.source.encode()):
        cell, line = notebook.place(finding.line)
        found.append(replace(finding, path=f"{path}!{cell}", line=line))
    return found


def _audited(path: str, source: bytes) -> Iterator[Finding]:
    """The findings of one module, each once a line, those with a reason beside them allowed."""
    with warnings.catch_warnings(action="ignore"):
        tree = ast.parse(source)
    comments = allow_comments(source)
    lines = _text_lines(source)
    needed: set[int] = set()
    seen: set[tuple[int, str, str]] = set()
    for place in Module(tree).places():
        finding = _finding(path, place, lines[place.node.lineno - 1])
        key = (finding.line, finding.rule, finding.message)
        if key in seen:
            continue
        seen.add(key)
        line = next((line for line in _lines(place.node) if line in comments), None)
        if line is None:
            yield finding
            continue
        needed.add(line)
        yield replace(finding, reason=comments[line]) if comments[line] else finding
    yield from _comments_wrong(path, comments, needed)


def _lines(node: ast.stmt | ast.expr) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _text_lines(source: bytes) -> list[bytes]:
    """The lines of a module in UTF-8, in which its columns are counted."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return [line.encode() for line in _LINE_END.split(source.decode(encoding))]


def _finding(path: str, place: Place, line: bytes) -> Finding:
    named = fingerprint(f"{place.rule} {place.what}".encode())
    column = len(line[: place.node.col_offset].decode(errors="replace")) + 1
    return Finding(path, place.node.lineno, column, place.rule, place.what, named)


def _comments_wrong(path: str, comments: dict[int, str], needed: set[int]) -> Iterator[Finding]:
    for line, reason in comments.items():
        if not reason:
            rule = BARE_ALLOW
        elif line not in needed:
            rule = UNUSED_ALLOW
        else:
            continue
        yield Finding(path, line, 1, rule.id, rule.summary, fingerprint(rule.id.encode()))
