"""Comments that allow a finding where they stand."""

from __future__ import annotations

import io
import re
import tokenize
from typing import Final

_COMMENT: Final = re.compile(r"#\s*sba-audit:\s*allow\b[\s:-]*(?P<reason>.*)")


def allow_comments(source: bytes) -> dict[int, str]:
    """The reason in each `# sba-audit: allow` comment by its line, empty where it gives none.

    Args:
        source: a module that parses.
    """
    found = {}
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        match = _COMMENT.search(token.string) if token.type == tokenize.COMMENT else None
        if match is not None:
            found[token.start[0]] = match["reason"].strip()
    return found
