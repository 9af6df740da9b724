"""Passwords, kept as scrypt digests."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from typing import Final

LEAST: Final = 6
_COST: Final = 2**14
_BLOCK: Final = 8
_SALT: Final = 16


async def protect(password: str) -> str:
    """The digest to keep, with a salt of its own."""
    salt = secrets.token_bytes(_SALT)
    digest = await asyncio.to_thread(_digest, password, salt)
    return f"$scrypt${_text(salt)}${_text(digest)}"


async def matches(password: str, kept: str | None) -> bool:
    """Whether it is the password that was kept; takes its time although there is none."""
    salt, digest = _read(kept) if kept else (bytes(_SALT), b"")
    return hmac.compare_digest(await asyncio.to_thread(_digest, password, salt), digest)


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=_BLOCK, p=1)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _read(kept: str) -> tuple[bytes, bytes]:
    salt, digest = kept.removeprefix("$scrypt$").split("$")
    return base64.b64decode(salt), base64.b64decode(digest)
