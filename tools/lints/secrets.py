"""No secret is committed: no private key, no Supabase secret key, no service token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tools.lints import Violation, text_of, tracked_files

PATTERNS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*\n?[A-Za-z0-9+/=]{20}"),
    "a Supabase secret key": re.compile(r"sb_secret_[A-Za-z0-9_-]{20,}"),
    "a signed token": re.compile(r"eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}"),
    "a cloud access key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
}


def violations(root: Path) -> Iterator[Violation]:
    """Lines that look like a real secret."""
    for path in tracked_files(root):
        text = text_of(path) or ""
        for what, pattern in PATTERNS.items():
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                yield Violation(str(path.relative_to(root)), line, f"looks like {what}; make it at run time")
