"""A name, however it is cased, as its lower-case words."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words(name: str) -> tuple[str, ...]:
    """Split ``accessToken``, ``access_token`` and ``X-Access-Token`` alike into lower-case words."""
    return tuple(word.lower() for word in _WORD.findall(name))
