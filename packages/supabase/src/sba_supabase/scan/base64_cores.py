"""Text recognised inside base64, wherever in its three-byte groups it starts."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final

ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_KNOWN_FROM: Final = (0, 2, 3)  # the first character that depends on the text alone, by the bytes before it


@dataclass(frozen=True, slots=True)
class Core:
    """The characters that every base64 of a text holds, for one alignment.

    Attributes:
        text: those characters; ASCII text spells the same in both alphabets.
        phase: their place in a group of four.
    """

    text: bytes
    phase: int


def _core(text: bytes, before: int) -> Core:
    encoded = b64encode(b"\0" * before + text).rstrip(b"=")
    end = len(encoded) - ((before + len(text)) % 3 != 0)
    phase = _KNOWN_FROM[before]
    return Core(encoded[phase:end], phase)


def cores(text: bytes) -> tuple[Core, ...]:
    """The three cores of a text."""
    return tuple(_core(text, before) for before in range(3))


def nested(inner: Iterable[Core]) -> tuple[Core, ...]:
    """The cores of text that is base64 already."""
    return tuple(chain.from_iterable(cores(core.text) for core in inner))


def decoded(run: bytes) -> bytes:
    """The bytes of a run that starts at a group of four; what is left over at its end is dropped."""
    whole = run[: len(run) - (len(run) % 4 == 1)]
    return b64decode(whole.translate(_TO_STANDARD) + b"=" * (-len(whole) % 4))
