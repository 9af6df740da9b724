"""No package registry's host outside uv.lock, and no path of one machine anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation, text_of, tracked_files

HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org", "deb.debian" + ".org")
MACHINE = re.compile(
    r"(?<![\w.$}])/(?:" + "|".join(("work", "root", "home/[a-z]+", "Users/[A-Za-z]+")) + r")/\w"
)


def violations(root: Path) -> Iterator[Violation]:
    """Lines that tie the repository to one place."""
    for path in tracked_files(root):
        if path.name == "uv.lock":
            continue
        for number, line in enumerate((text_of(path) or "").splitlines(), 1):
            if any(host in line for host in HOSTS):
                yield Violation(
                    str(path.relative_to(root)), number, "name packages, not the host that serves them"
                )
            if MACHINE.search(line):
                yield Violation(str(path.relative_to(root)), number, "a path of one machine")
