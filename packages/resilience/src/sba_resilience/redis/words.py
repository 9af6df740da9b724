"""What a command is made of and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import hiredis

Word: TypeAlias = str | bytes | int | float
"""One word of a command; text is sent as UTF-8."""

Reply: TypeAlias = Any
"""A RESP2 reply: bytes, int, None or a list of these."""

pack = cast("Callable[[tuple[Word, ...]], bytes]", hiredis.pack_command)
"""Put a command on the wire's form; a word of another type is a TypeError."""
