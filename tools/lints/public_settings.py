"""Server code never names a NEXT_PUBLIC_ variable; only sba_supabase.settings may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation, python_files

PREFIX = "NEXT_" + "PUBLIC_"
ALLOWED = "packages/supabase/src/sba_supabase/settings.py"


def violations(root: Path) -> Iterator[Violation]:
    """Lines of server code that name a public variable."""
    for path in python_files(root, "packages", "apps"):
        name = path.relative_to(root).as_posix()
        if name == ALLOWED:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if PREFIX in line:
                yield Violation(name, number, "public settings belong to sba_supabase.settings")
