"""What a request to the storage stand-in brings."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from sba_local.supabase.storage import errors
from sba_local.supabase.storage.files import Content, Files, mapped
from sba_local.supabase.storage.multipart import Part, boundary_of, parts_of

_ROOM_FOR_PARTS: Final = 64 * 1024
_LONGEST_FIELD: Final = 16 * 1024
_SECONDS: Final = "3600"
_PLAIN: Final = "application/octet-stream"
_SENDABLE: Final = re.compile(r"[\x20-\x7e]{1,256}")


@dataclass(frozen=True, slots=True)
class Upload:
    """An object as it was sent.

    Attributes:
        content: what is kept of it already.
        content_type: of it.
        cache_control: as it is to be sent back, or only the seconds.
        metadata: JSON of the caller's own.
    """

    content: Content
    content_type: str
    cache_control: str
    metadata: Any


async def object_of(request: Request) -> Mapping[str, Any]:
    """The JSON object in the body.

    Raises:
        StorageRefusal: it is something else.
    """
    try:
        body = json.loads(await read(request, most=1024 * 1024) or b"{}")
    except (ValueError, RecursionError):
        raise errors.invalid("body must be JSON") from None
    if not isinstance(body, dict):
        raise errors.invalid("body must be object")
    return body


async def read(request: Request, *, most: int) -> bytes:
    """The whole body.

    Raises:
        StorageRefusal: it is larger than `most` bytes.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise errors.too_large()
    return bytes(body)


async def upload_of(request: Request, files: Files, *, most: int) -> Upload:
    """The object in the body, as a file of a form or as it is.

    Raises:
        StorageRefusal: it is larger than `most` bytes, or a form without a file.
    """
    kind = request.headers.get("content-type", "")
    boundary = boundary_of(kind)
    if boundary is not None:
        return await _of_form(request, files, boundary, most)
    plain, cached = _sendable(kind or _PLAIN), _sendable(request.headers.get("cache-control", _SECONDS))
    told = _told(request.headers.get("x-metadata", ""))
    return Upload(await files.receive(request.stream(), most=most), plain, cached, told)


async def _of_form(request: Request, files: Files, boundary: bytes, most: int) -> Upload:
    body = await files.receive(request.stream(), most=most + _ROOM_FOR_PARTS)
    try:
        file, fields = await asyncio.to_thread(_parts, files, body.version, boundary)
        if file.end - file.start > most:
            raise errors.too_large()
        kind = _sendable(fields.get("contentType") or file.content_type or _PLAIN)
        cached, told = _sendable(fields.get("cacheControl", _SECONDS)), _metadata(fields.get("metadata"))
        return Upload(await files.cut(body.version, file.start, file.end), kind, cached, told)
    finally:
        await files.remove(body.version)


def _parts(files: Files, version: str, boundary: bytes) -> tuple[Part, Mapping[str, str]]:
    """The file, and the other fields."""
    body = mapped(files.path(version))
    parts = list(parts_of(body, boundary))
    file = next((part for part in parts if part.filename is not None), None)
    if file is None:
        raise errors.invalid("the form holds no file")
    fields = [part for part in parts if part.filename is None]
    if any(part.end - part.start > _LONGEST_FIELD for part in fields):
        raise errors.invalid("a field of the form is too long")
    return file, {part.name: body[part.start : part.end].decode(errors="replace") for part in fields}


def _sendable(text: str) -> str:
    """What may be a header of the answer.

    Raises:
        StorageRefusal: it may not.
    """
    if _SENDABLE.fullmatch(text) is None:
        raise errors.invalid("a content type or cache control is printable ASCII of at most 256 characters")
    return text


def _told(header: str) -> Any:  # noqa: ANN401  # JSON of the caller's own
    """The metadata that comes beside a plain body."""
    try:
        return _metadata(base64.b64decode(header, validate=True).decode())
    except ValueError:
        raise errors.invalid("x-metadata is no base64 of JSON") from None


def _metadata(text: str | None) -> Any:  # noqa: ANN401  # JSON of the caller's own
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        raise errors.invalid("metadata is no JSON") from None
