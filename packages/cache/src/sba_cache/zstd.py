"""Compression that is there when the extra is, and that no stored bytes can blow up."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING or importlib.util.find_spec("zstandard"):
    import zstandard

INSTALLED: Final = importlib.util.find_spec("zstandard") is not None
MOST: Final = 64 * 1024 * 1024
"""Bytes a stored value may decompress to."""


def compressed(payload: bytes, level: int) -> bytes:
    """A frame that says how large it will be."""
    return _compressor(level).compress(payload)


def decompressed(frame: bytes | memoryview) -> bytes | None:
    """What was compressed; None for bytes that are no frame, say no size or claim too large a one."""
    if not INSTALLED:  # pragma: no cover - the extra is not installed
        return None
    try:
        if not 0 <= zstandard.frame_content_size(frame) <= MOST:
            return None
        return _decompressor().decompress(frame)
    except zstandard.ZstdError:
        return None


@lru_cache(maxsize=20)
def _compressor(level: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=level)


@lru_cache(maxsize=1)
def _decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor()
