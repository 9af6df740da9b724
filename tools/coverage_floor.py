"""`python -m tools.coverage_floor REPORT`: each library keeps its share of lines and of branches covered."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

FLOOR = 90.0
LINES = {f"packages/{name}": 95.0 for name in ("cache", "db", "ratelimit", "resilience", "supabase")}
"""Of lines, where it is higher."""


@dataclass(slots=True)
class Tally:
    """What the tests reached in one library."""

    lines: int = 0
    covered_lines: int = 0
    branches: int = 0
    covered_branches: int = 0

    def add(self, summary: Mapping[str, int]) -> None:
        """Count one file's summary in."""
        self.lines += summary["num_statements"]
        self.covered_lines += summary["covered_lines"]
        self.branches += summary["num_branches"]
        self.covered_branches += summary["covered_branches"]

    @property
    def line_rate(self) -> float:
        """Percent of lines reached."""
        return 100.0 * self.covered_lines / self.lines if self.lines else 100.0

    @property
    def branch_rate(self) -> float:
        """Percent of branches taken."""
        return 100.0 * self.covered_branches / self.branches if self.branches else 100.0


def tally(report: Mapping[str, Any]) -> dict[str, Tally]:
    """The counts of each member, from coverage's JSON report."""
    members: dict[str, Tally] = defaultdict(Tally)
    for name, entry in report["files"].items():
        parts = PurePosixPath(name).parts
        if parts[0] in {"packages", "apps"}:
            members["/".join(parts[:2])].add(entry["summary"])
    return dict(sorted(members.items()))


def below(members: Mapping[str, Tally], expected: set[str]) -> Iterator[str]:
    """What misses the floor; a library that no test imported misses it too."""
    for name in sorted(expected - members.keys()):
        yield f"{name}: no test reached it"
    for name, counts in members.items():
        floor = LINES.get(name, FLOOR)
        if name.startswith("packages/") and (counts.line_rate < floor or counts.branch_rate < FLOOR):
            rates = f"{counts.line_rate:.1f}% lines, {counts.branch_rate:.1f}% branches"
            yield f"{name}: {rates}; floor {floor:.0f}% and {FLOOR:.0f}%"


def main(arguments: list[str]) -> int:
    """Print the table; exit 1 below the floor."""
    members = tally(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    for name, counts in members.items():
        print(f"{name:22} lines {counts.line_rate:5.1f}%  branches {counts.branch_rate:5.1f}%")
    expected = {path.parent.as_posix() for path in Path().glob("packages/*/pyproject.toml")}
    failures = list(below(members, expected))
    print("\n".join(failures) if failures else "every library is above its floor")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
