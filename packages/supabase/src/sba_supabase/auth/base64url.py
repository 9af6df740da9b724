"""Base64url in its one canonical spelling: no padding, no stray characters, no loose bits."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

_PADDING: Final = (b"", b"===", b"==", b"=")


def decode(text: bytes) -> bytes:
    """The bytes that are spelled so.

    Raises:
        ValueError: it is no base64url, or not how those bytes are spelled.
    """
    data = urlsafe_b64decode(text + _PADDING[len(text) % 4])
    if urlsafe_b64encode(data).rstrip(b"=") != text:
        raise ValueError("not canonical base64url")
    return data
