"""What a request to the storage stand-in brings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request

from sba_local.supabase.storage import errors
from sba_local.supabase.storage.multipart import boundary_of, parts_of

_ROOM_FOR_PARTS: Final = 64 * 1024
_SECONDS: Final = "3600"


@dataclass(frozen=True, slots=True)
class Upload:
    """An object as it was sent."""

    content: bytes = field(repr=False)
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
    except ValueError:
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


async def upload_of(request: Request, *, most: int) -> Upload:
    """The object in the body, as a file of a form or as it is.

    Raises:
        StorageRefusal: it is larger than `most` bytes, or a form without a file.
    """
    kind = request.headers.get("content-type", "")
    boundary = boundary_of(kind)
    body = await read(request, most=most if boundary is None else most + _ROOM_FOR_PARTS)
    if boundary is None:
        plain = kind or "application/octet-stream"
        return Upload(body, plain, request.headers.get("cache-control", _SECONDS), None)
    upload = _from_form(body, boundary)
    if len(upload.content) > most:
        raise errors.too_large()
    return upload


def _from_form(body: bytes, boundary: bytes) -> Upload:
    parts = list(parts_of(body, boundary))
    fields = {part.name: part.body.decode(errors="replace") for part in parts if part.filename is None}
    file = next((part for part in parts if part.filename is not None), None)
    if file is None:
        raise errors.invalid("the form holds no file")
    return Upload(
        file.body,
        fields.get("contentType") or file.content_type or "application/octet-stream",
        fields.get("cacheControl", _SECONDS),
        _metadata(fields.get("metadata")),
    )


def _metadata(text: str | None) -> Any:  # noqa: ANN401  # JSON of the caller's own
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise errors.invalid("metadata is no JSON") from None
