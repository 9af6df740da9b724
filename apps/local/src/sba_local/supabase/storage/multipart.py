"""The parts of a `multipart/form-data` body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final

from sba_local.supabase.storage import errors

_BREAK: Final = b"\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        name: of the field.
        filename: None where it is no file.
        content_type: of a file.
        body: as it was sent.
    """

    name: str
    filename: str | None
    content_type: str
    body: bytes = field(repr=False)


def boundary_of(content_type: str) -> bytes | None:
    """What separates the parts, None for another type of body."""
    message = Message()
    message["content-type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        return None
    boundary = message.get_boundary()
    return boundary.encode("latin-1") if boundary else None


def parts_of(body: bytes, boundary: bytes) -> Iterator[Part]:
    """The parts, in order.

    Raises:
        StorageRefusal: there is no end to them, or one has no name.
    """
    pieces = (_BREAK + body).split(_BREAK + b"--" + boundary)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):  # noqa: PLR2004  # before, and after the last
        raise errors.invalid("the multipart body has no end")
    for piece in pieces[1:-1]:
        head, found, content = piece.removeprefix(_BREAK).partition(_END_OF_HEAD)
        if not found:
            raise errors.invalid("a part of the multipart body has no end of its headers")
        yield _part(BytesHeaderParser().parsebytes(head), content)


def _part(headers: Message, body: bytes) -> Part:
    name = headers.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        if headers.get("content-disposition") is None:
            raise errors.invalid("a part of the multipart body has no name")
        name = ""
    filename = headers.get_filename()
    return Part(name, filename, headers.get_content_type() if "content-type" in headers else "", body)
