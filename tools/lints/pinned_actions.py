"""Workflows name actions by commit, and every workflow states its permissions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation

USES = re.compile(r"uses:\s*(?P<action>[^@\s]+)@(?P<ref>\S+)")
COMMIT = re.compile(r"[0-9a-f]{40}")


def violations(root: Path) -> Iterator[Violation]:
    """Actions that could change under us."""
    for path in sorted((root / ".github" / "workflows").glob("*.yml")):
        name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        if "permissions:" not in text:
            yield Violation(name, 0, "state the least permissions it needs")
        for number, line in enumerate(text.splitlines(), 1):
            match = USES.search(line)
            if match and not COMMIT.fullmatch(match["ref"]):
                yield Violation(name, number, f"pin {match['action']} by its commit")
