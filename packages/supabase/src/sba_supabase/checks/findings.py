"""What a check of files found, what it could not look at, and the exit code that says so."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

CLEAN: Final = 0
FOUND: Final = 1
INCOMPLETE: Final = 2

_FINGERPRINT_LENGTH: Final = 32
_SECRET: Final = re.compile(r"sb_secret_[\w-]+|eyJ[\w-]{16,}(?:\.[\w-]+)*")


def fingerprint(secret: bytes) -> str:
    """A name for a secret that does not tell it: the same wherever and however it is written."""
    return f"sha256:{sha256(secret).hexdigest()[:_FINGERPRINT_LENGTH]}"


def shown(path: str) -> str:
    """A path fit to print: nothing that looks like a key, nothing that moves a terminal's cursor."""
    masked = _SECRET.sub("[masked]", path)
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in masked)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is looked for.

    Attributes:
        id: its name, in reports and allow-lists.
        summary: what it finds, in a sentence.
        advice: what to do about it.
    """

    id: str
    summary: str
    advice: str


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One place that breaks a rule. It never holds the secret it is about.

    Attributes:
        path: the file, `/` between folders and `!` before what is inside an archive.
        line: from 1.
        column: from 1, in characters.
        rule: the rule's `id`.
        message: what is there.
        fingerprint: of the secret or name; the same wherever it appears.
        reason: why it is allowed; None when it is not.
    """

    path: str
    line: int
    column: int
    rule: str
    message: str
    fingerprint: str
    reason: str | None = None

    def __str__(self) -> str:
        allowed = "" if self.reason is None else f" (allowed: {shown(self.reason)})"
        place = f"{shown(self.path)}:{self.line}:{self.column}"
        return f"{place}: {self.rule}: {self.message} [{self.fingerprint}]{allowed}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What could not be looked at, or not to its end.

    Attributes:
        path: the file.
        reason: why.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one check.

    Attributes:
        findings: what breaks a rule and is not allowed.
        allowed: what would, but for the allow-list.
        problems: what could not be looked at.
        notes: what is worth telling and fails nothing, such as an entry of the allow-list that is not used.
        files: how many files were looked at.
        size: how many bytes they hold, unpacked.
    """

    findings: tuple[Finding, ...] = ()
    allowed: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0
    size: int = field(default=0)

    @property
    def exit_code(self) -> int:
        """0 when nothing was found, 1 when something was, 2 when nothing was but not all was looked at."""
        if self.findings:
            return FOUND
        return INCOMPLETE if self.problems else CLEAN


def to_text(report: Report) -> str:
    """The report for a terminal, a finding a line."""
    lines = [str(finding) for finding in (*report.findings, *report.allowed)]
    lines += [f"not looked at: {problem}" for problem in report.problems]
    lines += [f"note: {shown(note)}" for note in report.notes]
    counts = f"{report.files} files, {len(report.findings)} findings"
    lines.append(f"{counts}, {len(report.allowed)} allowed, {len(report.problems)} not looked at")
    return "\n".join(lines)
