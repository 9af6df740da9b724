"""The parts of a `multipart/form-data` body."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final

from sba_local.supabase.storage import errors

_BREAK: Final = b"\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
_LONGEST_HEAD: Final = 16 * 1024
_MOST_PARTS: Final = 100


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        name: of the field.
        filename: None where it is no file.
        content_type: of a file.
        start: where its content begins in the body.
        end: where it ends.
    """

    name: str
    filename: str | None
    content_type: str
    start: int
    end: int


def boundary_of(content_type: str) -> bytes | None:
    """What separates the parts, None for another type of body."""
    message = Message()
    message["content-type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        return None
    boundary = message.get_boundary()
    return boundary.encode("latin-1", "replace") if boundary else None


def parts_of(body: mmap.mmap | bytes, boundary: bytes) -> Iterator[Part]:
    """The parts, in order.

    Raises:
        StorageRefusal: there is no end to them, there are too many, or one has no name.
    """
    fence = b"--" + boundary
    at = 0 if body[: len(fence)] == fence else _after(body, _BREAK + fence, 0) - len(fence)
    for _ in range(_MOST_PARTS):
        at += len(fence)
        if body[at : at + 2] == b"--":
            return
        end = _after(body, _BREAK + fence, at) - len(_BREAK + fence)
        yield _part(body, at + len(_BREAK), end)
        at = end + len(_BREAK)
    raise errors.invalid("the multipart body has too many parts")


def _after(body: mmap.mmap | bytes, fence: bytes, start: int) -> int:
    found = body.find(fence, start)
    if found < 0:
        raise errors.invalid("the multipart body has no end")
    return found + len(fence)


def _part(body: mmap.mmap | bytes, start: int, end: int) -> Part:
    found = body.find(_END_OF_HEAD, start, min(end, start + _LONGEST_HEAD))
    if found < 0:
        raise errors.invalid("a part of the multipart body has no end of its headers")
    headers = BytesHeaderParser().parsebytes(body[start:found])
    name = headers.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        if headers.get("content-disposition") is None:
            raise errors.invalid("a part of the multipart body has no name")
        name = ""
    kind = headers.get_content_type() if "content-type" in headers else ""
    return Part(name, headers.get_filename(), kind, found + len(_END_OF_HEAD), end)
