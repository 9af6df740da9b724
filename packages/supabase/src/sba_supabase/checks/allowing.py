"""A list of findings that are allowed, each with the reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from sba_supabase.checks.findings import Finding
from sba_supabase.errors import AllowListInvalid

_MEMBERS: Final = frozenset({"rule", "path", "fingerprint", "reason"})
_SHORTEST_REASON: Final = 3


@dataclass(frozen=True, slots=True)
class Allowance:
    """One entry of an allow-list: every member that is given has to fit.

    Attributes:
        rule: the rule's `id`.
        reason: why it is allowed.
        path: a pattern of the finding's path; `*` also spans folders.
        fingerprint: the finding's.
    """

    rule: str
    reason: str
    path: str = "*"
    fingerprint: str | None = None

    def fits(self, finding: Finding) -> bool:
        """Whether this entry allows a finding."""
        return (
            self.rule == finding.rule
            and self.fingerprint in {None, finding.fingerprint}
            and fnmatchcase(finding.path, self.path)
        )

    def __str__(self) -> str:
        return f"{self.rule} at {self.path} {self.fingerprint or ''}".rstrip()


def _allowance(number: int, entry: object, rules: frozenset[str]) -> Allowance:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise AllowListInvalid(f"entry {number} must be a table of texts")
    if unknown := set(entry) - _MEMBERS:
        raise AllowListInvalid(f"entry {number} has unknown members: {', '.join(sorted(unknown))}")
    if entry.get("rule") not in rules:
        raise AllowListInvalid(f"entry {number} must name a rule: {', '.join(sorted(rules))}")
    if len(entry.get("reason", "").strip()) < _SHORTEST_REASON:
        raise AllowListInvalid(f"entry {number} gives no reason")
    if not entry.get("path") and not entry.get("fingerprint"):
        raise AllowListInvalid(f"entry {number} must name a path or a fingerprint")
    return Allowance(
        entry["rule"], entry["reason"].strip(), entry.get("path") or "*", entry.get("fingerprint") or None
    )


def read_allowances(file: Path, rules: Iterable[str]) -> tuple[Allowance, ...]:
    """The entries of an allow-list: TOML, one `[[allow]]` each.

    Args:
        file: the list.
        rules: the `id`s there are.

    Raises:
        AllowListInvalid: it cannot be read, or an entry gives no reason, fits everything or says what is
            not understood.
    """
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise AllowListInvalid(f"cannot be read: {type(error).__name__}") from None
    entries = document.pop("allow", [])
    if document or not isinstance(entries, list):
        raise AllowListInvalid("must hold [[allow]] entries and nothing else")
    known = frozenset(rules)
    return tuple(_allowance(number, entry, known) for number, entry in enumerate(entries, 1))


class AllowList:
    """Tells what is allowed from what is not, and remembers which entries were needed.

    Args:
        allowances: its entries.
    """

    def __init__(self, allowances: tuple[Allowance, ...]) -> None:
        self._allowances = allowances
        self._used: set[Allowance] = set()

    def judged(self, finding: Finding) -> Finding:
        """The finding, with the reason of the first entry that fits."""
        for allowance in self._allowances:
            if allowance.fits(finding):
                self._used.add(allowance)
                return replace(finding, reason=allowance.reason)
        return finding

    def unused(self) -> tuple[str, ...]:
        """A note for every entry that fitted nothing."""
        waste = (allowance for allowance in self._allowances if allowance not in self._used)
        return tuple(f"an entry of the allow-list is not used: {allowance}" for allowance in waste)
