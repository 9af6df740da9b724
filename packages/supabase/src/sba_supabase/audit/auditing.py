"""The audit of services for Supabase used past `sba_supabase`."""

from __future__ import annotations

import ast
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sba_supabase.audit.allowing import allow_comments
from sba_supabase.audit.rules import BARE_ALLOW, UNUSED_ALLOW
from sba_supabase.audit.visiting import Module, Place
from sba_supabase.checks.findings import Finding, Problem, Report, fingerprint
from sba_supabase.checks.walking import Walk

_SUFFIXES: Final = frozenset({".py", ".pyi"})
_UNPARSED: Final = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)
SKIPPED: Final = ("*/.venv", "*/node_modules", "*/.git", "*/__pycache__")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """How to audit.

    Attributes:
        exclude: patterns of paths to leave out, besides virtual environments and the like.
    """

    exclude: tuple[str, ...] = ()


def audit(paths: Iterable[Path], options: AuditOptions | None = None) -> Report:
    """Look for Supabase used directly below some paths, in Python.

    Args:
        paths: files and folders of services; files without a Python ending are left out.
        options: how.

    Returns:
        What was found, with what to import instead, and what could not be parsed.
    """
    problems: list[Problem] = []
    exclude = (*SKIPPED, *(options or AuditOptions()).exclude)
    walk = Walk(exclude=exclude, tell=lambda path, reason: problems.append(Problem(path, reason)))
    files = [file for file in walk.files(tuple(paths)) if file.suffix in _SUFFIXES]
    findings: list[Finding] = []
    size = 0
    for file in files:
        try:
            source = file.read_bytes()
            size += len(source)
            findings += _audited(file.as_posix(), source)
        except (OSError, *_UNPARSED) as error:
            problems.append(Problem(file.as_posix(), f"cannot be parsed: {type(error).__name__}"))
    findings.sort()
    return Report(
        findings=tuple(finding for finding in findings if finding.reason is None),
        allowed=tuple(finding for finding in findings if finding.reason is not None),
        problems=tuple(sorted(problems)),
        files=len(files),
        size=size,
    )


def _audited(path: str, source: bytes) -> Iterator[Finding]:
    """The findings of one module, each once a line, those with a reason beside them allowed."""
    with warnings.catch_warnings(action="ignore"):
        tree = ast.parse(source)
    comments = allow_comments(source)
    needed: set[int] = set()
    seen: set[tuple[int, str, str]] = set()
    for place in Module(tree).places():
        finding = _finding(path, place)
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


def _finding(path: str, place: Place) -> Finding:
    named = fingerprint(f"{place.rule} {place.what}".encode())
    return Finding(path, place.node.lineno, place.node.col_offset + 1, place.rule, place.what, named)


def _comments_wrong(path: str, comments: dict[int, str], needed: set[int]) -> Iterator[Finding]:
    for line, reason in comments.items():
        if not reason:
            rule = BARE_ALLOW
        elif line not in needed:
            rule = UNUSED_ALLOW
        else:
            continue
        yield Finding(path, line, 1, rule.id, rule.summary, fingerprint(rule.id.encode()))
